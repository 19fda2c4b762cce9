"""All faults by name, and functions that plant them in a model object."""

from collections.abc import Mapping

from transformer.config.faults import reveal
from transformer.errors import ConfigError
from transformer.faults import attention, embeddings, layers, masks, outside
from transformer.faults.fault import CORRECT, Fault, TrainingPractice, change_class
from transformer.model import Transformer

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for module in (masks, attention, embeddings, layers, outside)
    for fault in module.FAULTS
}
"""Every fault by name: masks, attention, embeddings, layers, then training and decoding."""
IN_MODEL: Mapping[str, Fault] = {
    name: fault for name, fault in FAULTS.items() if fault.place == "model"
}
"""Faults in what the model computes; all others lie in how it is trained or decoded."""


class Faulty(Transformer):
    """A model with planted faults. The fast decoders refuse it: they support the paper's only."""


def find_fault(name: str) -> Fault:
    """The fault of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FAULTS:
        raise ConfigError(
            f"There is no fault {name!r}; `python -m transformer faults` lists them all."
        )
    return FAULTS[name]


def plant(model: Transformer, *names: str) -> None:
    """Plant faults in one model object; other objects that share its tensors stay correct.

    Raises:
        ConfigError: there is no such fault, or a model like this cannot have it.
    """
    for name in names:
        fault = find_fault(name)
        if not fault.applies(model.config):
            raise ConfigError(f"A model of this configuration cannot have the fault {name!r}.")
        fault.plant(model)
    in_it = any(FAULTS[name].place in ("model", "decoding") for name in names)
    if in_it and not isinstance(model, Faulty):
        change_class(model, Faulty)


def practice_of(fault: str) -> TrainingPractice:
    """How training with this fault uses the model; for "", the correct practice.

    Args:
        fault: a name, or its hidden form (see :func:`reveal`).

    Raises:
        ConfigError: there is no such fault.
    """
    return FAULTS[reveal(fault)].practice if fault else CORRECT


def plant_of_run(model: Transformer, fault: str) -> None:
    """Plant the fault that a run's settings or checkpoint name; "" plants nothing.

    Args:
        fault: a name, or its hidden form (see :func:`reveal`).

    Raises:
        ConfigError: there is no such fault, or a model like this cannot have it.
    """
    if fault:
        plant(model, reveal(fault))

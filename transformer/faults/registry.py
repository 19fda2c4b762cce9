"""All faults by name, and planting them in a model object."""

from collections.abc import Mapping

from transformer.config.faults import reveal
from transformer.errors import ConfigError
from transformer.faults import attention, embeddings, layers, masks, outside
from transformer.faults.fault import RIGHT, Fault, Practice, turn
from transformer.model import Transformer

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for module in (masks, attention, embeddings, layers, outside)
    for fault in module.FAULTS
}
"""Every fault, in the order in which one meets them in the paper's section 3.2 to 3.1, then those
of training and decoding."""
IN_MODEL: Mapping[str, Fault] = {
    name: fault for name, fault in FAULTS.items() if fault.place == "model"
}
"""What a model computes; the others are in what is done with it."""


class Faulty(Transformer):
    """A model with planted faults: the fast decoders, which know the paper's only, decline it."""


def find_fault(name: str) -> Fault:
    """The fault of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FAULTS:
        raise ConfigError(
            f"There is no fault {name!r}; `python -m transformer faults` lists them all."
        )
    return FAULTS[name]


def plant(model: Transformer, *names: str) -> None:
    """Make one model object depart from the paper; others over the same tensors stay right.

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
        turn(model, Faulty)


def practice_of(fault: str) -> Practice:
    """What a training with this fault does around the model; "" is the right one.

    Args:
        fault: a name, or what hides it.

    Raises:
        ConfigError: there is no such fault.
    """
    return FAULTS[reveal(fault)].practice if fault else RIGHT


def plant_of_run(model: Transformer, fault: str) -> None:
    """Plant what a run's settings, or its checkpoint, say; "" leaves the model right.

    Args:
        fault: a name, or what hides it.

    Raises:
        ConfigError: there is no such fault, or a model like this cannot have it.
    """
    if fault:
        plant(model, reveal(fault))

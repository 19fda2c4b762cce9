"""All faults by name, and planting them in a model object."""

from collections.abc import Mapping

from transformer.errors import ConfigError
from transformer.faults import attention, embeddings, layers, masks
from transformer.faults.fault import Fault, turn
from transformer.model import Transformer

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for module in (masks, attention, embeddings, layers)
    for fault in module.FAULTS
}
"""Every fault, in the order in which one meets them in the paper's section 3.2 to 3.1."""


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
    if names and not isinstance(model, Faulty):
        turn(model, Faulty)

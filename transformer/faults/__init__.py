"""What goes wrong in hand-written Transformers: named, explained, and plantable.

A fault is planted in one model object, never globally; ``model.py`` stays the paper::

    from transformer.faults import FAULTS, plant

    plant(model, "softmax-over-heads")
"""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.faults.fault import Fault
    from transformer.faults.registry import FAULTS, find_fault, plant

__all__ = ["FAULTS", "Fault", "find_fault", "plant"]

__getattr__ = lazy(__name__, {"fault": ("Fault",), "registry": ("FAULTS", "find_fault", "plant")})

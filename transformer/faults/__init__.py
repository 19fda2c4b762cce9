"""What goes wrong in hand-written Transformers: named, explained, and plantable.

A fault is planted in one model object, never globally; ``model.py`` stays the paper::

    from transformer.faults import FAULTS, plant

    plant(model, "softmax-over-heads")
"""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.faults.fault import RIGHT, Fault, Practice
    from transformer.faults.registry import (
        FAULTS,
        IN_MODEL,
        find_fault,
        plant,
        plant_of_run,
        practice_of,
    )

__getattr__ = lazy(__name__)

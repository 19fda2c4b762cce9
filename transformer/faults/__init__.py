"""Common faults of hand-written Transformers: named, explained, and ready to be planted.

Planting changes one model object, never the classes in ``model.py``, which keep to the paper::

    from transformer.faults import FAULTS, plant

    plant(model, "softmax-over-heads")
"""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.faults.fault import CORRECT, Fault, TrainingPractice
    from transformer.faults.registry import (
        FAULTS,
        IN_MODEL,
        find_fault,
        plant,
        plant_of_run,
        practice_of,
    )

__getattr__ = lazy(__name__)

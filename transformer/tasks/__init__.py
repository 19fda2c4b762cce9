"""The tasks that a model can learn: a few small ones, and the user's own pairs."""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.tasks.base import Facts, Pair, Task
    from transformer.tasks.own_pairs.task import SEVEN_PAIRS, read_pairs
    from transformer.tasks.registry import (
        TASKS,
        build_task,
        find_task,
        in_training,
        longest_trained,
        out_of_form,
        right_answer,
        title_of,
    )

__getattr__ = lazy(__name__)

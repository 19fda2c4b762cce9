"""What a model can learn here: a few small tasks, and a person's own pairs."""

from collections.abc import Callable
from pathlib import Path

from transformer.config import DataConfig
from transformer.errors import ConfigError, TaskError
from transformer.tasks.addition import Addition
from transformer.tasks.base import Pair, Task
from transformer.tasks.letters import Copy, Reverse, Sort
from transformer.tasks.pairs import SEVEN_PAIRS, OwnPairs, read_pairs

__all__ = ["SEVEN_PAIRS", "TASKS", "Pair", "Task", "build_task", "read_pairs"]

GENERATED: dict[str, Callable[[DataConfig], Task]] = {
    "reverse": Reverse,
    "copy": Copy,
    "sort": Sort,
    "addition": Addition,
    "addition-reversed": lambda data: Addition(data, reverse=True),
}
TASKS = (*GENERATED, OwnPairs.name)
"""All task names, in the order in which the app lists them."""


def build_task(data: DataConfig, pairs: Path | None = None) -> Task:
    """The task a config describes.

    Args:
        data: which task, and its options.
        pairs: for the task "pairs", the file to read.

    Raises:
        ConfigError: there is no such task.
        TaskError: the pairs are missing or cannot be used.
    """
    if data.task == OwnPairs.name:
        if pairs is None:
            raise TaskError("The task 'pairs' needs a file of pairs (--data FILE).")
        return OwnPairs(data, read_pairs(pairs).pairs)
    if data.task not in GENERATED:
        raise ConfigError(f"There is no task {data.task!r}; choose one of {', '.join(TASKS)}.")
    if pairs is not None:
        raise TaskError(f"The task {data.task!r} makes its own pairs; --data goes with 'pairs'.")
    return GENERATED[data.task](data)

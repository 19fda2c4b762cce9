"""All tasks by name, and the one that a config describes."""

from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path

from transformer.config import DataConfig
from transformer.errors import ConfigError, TaskError
from transformer.tasks.addition import Addition, AdditionReversed
from transformer.tasks.base import GeneratedTask, Pair, Task
from transformer.tasks.dates import Dates
from transformer.tasks.letters import Copy, Reverse, Sort
from transformer.tasks.numbers import NumberWords
from transformer.tasks.own_pairs import task as own_pairs
from transformer.tasks.own_pairs.task import SEVEN_PAIRS, OwnPairs, read_data
from transformer.tasks.pronunciation import Pronunciation
from transformer.tasks.scan import ScanAddJump, ScanLength, ScanSimple
from transformer.tasks.shipped import ShippedTask

_KINDS: tuple[type[Task], ...] = (
    Reverse,
    Copy,
    Sort,
    Addition,
    AdditionReversed,
    Dates,
    NumberWords,
    Pronunciation,
    ScanSimple,
    ScanLength,
    ScanAddJump,
    OwnPairs,
)
TASKS: dict[str, type[Task]] = {kind.name: kind for kind in _KINDS}
"""All tasks by name, in the order in which the app lists them."""


def find_task(name: str) -> type[Task]:
    """The task of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in TASKS:
        raise ConfigError(f"There is no task {name!r}; choose one of {', '.join(TASKS)}.")
    return TASKS[name]


SEVEN_TITLE = "Seven sentences"
"""The title of "own pairs" that are the bundled sentences, so not the user's."""


def title_of(name: str, sources: Iterable[str] = ()) -> str:
    """A task's title on screen; its name if this version does not know it.

    Args:
        sources: of the pairs, by which the bundled sentences are recognised.
    """
    if name not in TASKS:
        return name
    known = set(sources) if name == OwnPairs.name else set()
    return SEVEN_TITLE if known and known <= _seven_sources() else TASKS[name].title


@cache
def _seven_sources() -> frozenset[str]:
    return frozenset(pair.source for pair in read_data(SEVEN_PAIRS).pairs)


def build_task(data: DataConfig, pairs: Path | None = None) -> Task:
    """The task a config describes.

    Args:
        data: which task, and its options.
        pairs: for the task "pairs", the file to read.

    Raises:
        ConfigError: there is no such task.
        TaskError: the pairs are missing or cannot be used.
    """
    kind = find_task(data.task)
    if issubclass(kind, GeneratedTask | ShippedTask):
        if pairs is not None:
            raise TaskError(f"The task {data.task!r} has its own pairs; --data is for 'pairs'.")
        return _generated(kind, data) if issubclass(kind, GeneratedTask) else kind(data)
    if pairs is None:
        raise TaskError("The task 'pairs' needs a file of pairs (--data FILE).")
    return OwnPairs(data, read_data(pairs).pairs)


@lru_cache(maxsize=8)
def _generated(kind: type[GeneratedTask], data: DataConfig) -> GeneratedTask:
    """A task for these settings, cached together with the held-out pairs that it has drawn."""
    return kind(data)


def right_answer(data: DataConfig, source: str, written: str | None = None) -> str | None:
    """The right answer if the task can compute it, else None.

    Own pairs have no answer for other sources, and a text that is not a source of the task (such
    as a sum with two plus signs) has none either.

    Args:
        written: an output, returned if it is one of several right answers.
    """
    kind = TASKS.get(data.task)
    if kind is None or not issubclass(kind, GeneratedTask | ShippedTask):
        return None
    task = kind(data)
    try:
        answer = task.answer(source)
    except ValueError:
        return None
    if written not in (None, answer) and task.is_right(Pair(source, answer), written):
        return written
    return answer


def out_of_form(data: DataConfig, source: str) -> str:
    """If no training source has the form of this one, the reason in a sentence; else empty."""
    kind = TASKS.get(data.task)
    return kind.out_of_form(source) if kind else ""


def longest_trained(data: DataConfig) -> tuple[int, int] | None:
    """Most tokens of a source and of a target that a task trains on; None for own pairs."""
    kind = TASKS.get(data.task)
    if kind is None or not issubclass(kind, GeneratedTask | ShippedTask):
        return None
    return kind(data).longest_trained()


def in_training(data: DataConfig, source: str, pairs: Path | None = None) -> bool | None:
    """Whether a model with these data settings was trained on a source; None if that cannot be
    known.

    Args:
        pairs: the file of the user's own pairs, if the run has them and it still exists.
    """
    kind = TASKS.get(data.task)
    if kind is not None and issubclass(kind, GeneratedTask | ShippedTask):
        return kind(data).trains_on(source)
    if kind is OwnPairs and pairs is not None:
        return own_pairs.trains_on(pairs, data.held_out, source)
    return None

"""Tasks whose pairs are fixed: data that comes with the project, or a published benchmark."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from transformer.config import DataConfig
from transformer.tasks.base import Pair, Task

DATA = Path(__file__).with_name("data")


class Split(NamedTuple):
    """Pairs to train on, pairs to evaluate on meanwhile, and pairs to score a finished model on."""

    train: Sequence[Pair]
    held_out: Sequence[Pair]
    test: Sequence[Pair]


class ShippedTask(Task):
    """A task that learns from a fixed list of pairs.

    Attributes:
        longest_pair: most tokens of a source and of a target; stored here, so that the app can
            offer the task without reading its data.
    """

    data_fields = ()
    longest_pair: tuple[int, int]

    def __init__(self, data: DataConfig) -> None:
        """``data`` names the task; there is nothing to choose."""

    @classmethod
    @abstractmethod
    def split(cls) -> Split:
        """All pairs; read once per process."""

    @classmethod
    @abstractmethod
    def answer(cls, source: str) -> str:
        """The right target of a source.

        Raises:
            ValueError: it is not a source of this task.
        """

    def epoch(self, seed: int, number: int, batch_size: int) -> list[Pair]:
        pairs = list(self.split().train)
        Random(f"{self.name}/{seed}/{number}").shuffle(pairs)
        return pairs

    def held_out(self, count: int) -> list[Pair]:
        """The first ``count`` pairs in a random order that is the same for every run."""
        pairs = list(self.split().held_out)
        Random(f"{self.name}/held-out").shuffle(pairs)
        return pairs[:count]

    def trains_on(self, source: str) -> bool | None:
        return source in _sources(type(self))

    def test_pairs(self) -> list[Pair]:
        """The published test set: what a finished model is scored on, once."""
        return list(self.split().test)

    def longest(self) -> tuple[int, int]:
        return self.longest_pair


@lru_cache(maxsize=4)
def _sources(task: type[ShippedTask]) -> frozenset[str]:
    """The sources of a task's training pairs."""
    return frozenset(pair.source for pair in task.split().train)

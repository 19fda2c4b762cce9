"""The interface of every task, and the base class of tasks that generate their pairs."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import ne
from random import Random
from types import MappingProxyType
from typing import NamedTuple

from transformer.config import DataConfig
from transformer.errors import VocabularyError
from transformer.vocabulary import Vocabulary


class Pair(NamedTuple):
    """A source text and the target text that answers it."""

    source: str
    target: str


Places = Sequence[Sequence[int]]
"""For each written token, positions in the source."""


class Facts(NamedTuple):
    """The facts about a task's pairs that a run's config needs.

    vocab_sizes: tokens of the source and target vocabulary, the special ones included.
    longest: most tokens of a source and of a target, without <bos> and <eos>.
    one_vocabulary: whether both vocabularies are the same.
    """

    vocab_sizes: tuple[int, int]
    longest: tuple[int, int]
    one_vocabulary: bool


class Task(ABC):
    """Training and held-out pairs; no source text is in both.

    Attributes:
        name: as on the command line.
        title: as on screen.
        description: what is asked of the model.
        look_for: the attention pattern that a model shows when it has solved the task.
        example: one pair.
        default_preset: the preset that solves it.
        data_fields: the fields of DataConfig that apply to it.
        solved_by: a verb for a cross-attention head that looks where the answer comes from; empty
            if that is not known.
        reachable: the share of unseen inputs that the best known model gets right.
        default_model, default_training: the task's changes to that preset's settings.
        source_vocabulary, target_vocabulary: the tokens of each side.
    """

    name: str
    title: str
    description: str
    look_for: str
    example: Pair
    default_preset: str
    data_fields: tuple[str, ...]
    solved_by: str = ""
    reachable: float = 1.0
    default_model: Mapping[str, int | float | str] = MappingProxyType({})
    default_training: Mapping[str, int | float | str] = MappingProxyType({})
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary

    @abstractmethod
    def epoch(self, seed: int, number: int, batch_size: int) -> list[Pair]:
        """The pairs of one pass, in random order: a function of its arguments alone."""

    @abstractmethod
    def held_out(self, count: int) -> list[Pair]:
        """Up to ``count`` pairs that training never sees, the same for every run."""

    def trains_on(self, source: str) -> bool | None:
        """Whether a source is among the training pairs; None if that cannot be known, as for
        pairs drawn at random."""
        return None

    def harder(self) -> "Task | None":
        """The same task with longer sources than any it trains on; None if it cannot make them."""
        return None

    @classmethod
    def ideal_places(cls, source: Sequence[str], written: Sequence[str]) -> Places | None:
        """Where cross-attention would look if it solved the task by looking at the answer.

        Known for tasks in which every output token comes from certain positions of the input. A
        model may solve the task in another way: that its heads score low here is a finding, too.

        Args:
            source, written: tokens, without <eos>.

        Returns:
            For each written token the positions in the source that it comes from, empty if
            unknown; None if the source is not one of this task.
        """
        return None

    @classmethod
    def out_of_form(cls, source: str) -> str:
        """If no training source has the form of this one, the reason in a sentence; else empty."""
        return ""

    def is_right(self, pair: Pair, output: str) -> bool:
        """Whether an output answers the pair's source."""
        return output == pair.target

    def error_kind(self, pair: Pair, output: str) -> str:
        """The kind of error in an output, in a few words, to count; empty if it is right."""
        if self.is_right(pair, output):
            return ""
        written, wanted = self._cut(output), self._cut(pair.target)
        if not written:
            return "nothing written"
        if len(written) != len(wanted):
            return "too short" if len(written) < len(wanted) else "too long"
        return self.same_length_error(written, wanted)

    def same_length_error(self, written: Sequence[str], wanted: Sequence[str]) -> str:
        """The kind of error in a wrong output that has as many tokens as the target."""
        wrong = sum(map(ne, written, wanted))
        if wrong == len(wanted):
            return "nothing right"
        return "one token wrong" if wrong == 1 else "some tokens wrong"

    def _cut(self, text: str) -> list[str]:
        """A text of the target side as tokens; cut at spaces if it has a special token, which
        byte pairs lack."""
        try:
            return self.target_vocabulary.cut(text)
        except VocabularyError:
            return text.split()

    @abstractmethod
    def longest(self) -> tuple[int, int]:
        """Most tokens of a source and of a target, without <bos> and <eos>."""

    def longest_trained(self) -> tuple[int, int]:
        """:meth:`longest` of the training pairs alone."""
        return self.longest()

    def facts(self) -> Facts:
        source, target = self.source_vocabulary, self.target_vocabulary
        return Facts((len(source), len(target)), self.longest(), source == target)


class GeneratedTask(Task):
    """A task whose sources are drawn at random and whose answers are computed.

    The split depends on the pair alone: one pair in ten, by the checksum of its source (or of
    :meth:`split_by`), is held out in every run.
    """

    BATCHES_AN_EPOCH = 32
    PAIRS_AN_EPOCH = 8192
    """Most pairs of an epoch, unless one batch is larger: drawing them must not take long."""
    HELD_OUT_ONE_IN = 10

    @abstractmethod
    def __init__(self, data: DataConfig) -> None: ...

    @abstractmethod
    def draw(self, random: Random) -> str:
        """A random source."""

    @abstractmethod
    def answer(self, source: str) -> str:
        """The right target of a source."""

    def draw_pair(self, random: Random) -> Pair:
        """A random source with its answer."""
        source = self.draw(random)
        return Pair(source, self.answer(source))

    def split_by(self, pair: Pair) -> str:
        """The text that must not be in both training and held-out pairs."""
        return pair.source

    def is_held_out(self, pair: Pair) -> bool:
        return zlib.crc32(self.split_by(pair).encode()) % self.HELD_OUT_ONE_IN == 0

    def epoch(self, seed: int, number: int, batch_size: int) -> list[Pair]:
        random = Random(f"{self.name}/{seed}/{number}")
        pairs: list[Pair] = []
        size = min(batch_size * self.BATCHES_AN_EPOCH, max(batch_size, self.PAIRS_AN_EPOCH))
        while len(pairs) < size:
            pair = self.draw_pair(random)
            if not self.is_held_out(pair):
                pairs.append(pair)
        return pairs

    def held_out(self, count: int) -> list[Pair]:
        return list(_held_out(self, count))

    def draws(self, source: str) -> bool:
        """Whether a source that has an answer can be drawn."""
        return True

    def trains_on(self, source: str) -> bool | None:
        """False if the source is held out or never drawn; else None, since it may have been."""
        try:
            pair = Pair(source, self.answer(source))
        except ValueError:
            return False
        return None if self.draws(source) and not self.is_held_out(pair) else False


def few_updates(
    steps: int, learning_rate: float, batch_size: int
) -> Mapping[str, int | float | str]:
    """Training settings with Muon, and texts of all lengths in every update: with Muon, an update
    on short texts alone would move the weights as far as any other.

    The numbers of a task were measured by ``python -m benchmarks.solved``.
    """
    return MappingProxyType(
        {
            "optimizer": "muon",
            "bucketing": False,
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "warmup_steps": 20,
            "decay_fraction": 0.8,
            "eval_every": 50,
        }
    )


@lru_cache(maxsize=8)
def _held_out(task: GeneratedTask, count: int) -> tuple[Pair, ...]:
    """Held-out pairs, cached: nine of ten drawn pairs are not held out, and each evaluation asks
    for the same ones."""
    random = Random(f"{task.name}/held-out")
    found: dict[str, Pair] = {}
    for _ in range(200 * count):  # a small task may have fewer than asked for
        if len(found) == count:
            break
        pair = task.draw_pair(random)
        if task.is_held_out(pair):
            found.setdefault(pair.source, pair)
    return tuple(found.values())

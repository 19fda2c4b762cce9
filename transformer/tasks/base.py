"""What every task offers, and what tasks that generate their own pairs have in common."""

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
"""For each written token, places of the source."""


class Facts(NamedTuple):
    """What a run's config must know of its pairs.

    vocab_sizes: tokens of the source and target vocabulary, the special ones included.
    longest: most tokens of a source and of a target, without <bos> and <eos>.
    one_vocabulary: whether both vocabularies are the same.
    """

    vocab_sizes: tuple[int, int]
    longest: tuple[int, int]
    one_vocabulary: bool


class Task(ABC):
    """A source of training and held-out pairs; no source stands in both.

    Attributes:
        name: as on the command line.
        title: as on screen.
        description: what is asked of the model.
        look_for: which attention pattern a model that solved it shows.
        example: one pair.
        default_preset: the preset that solves it.
        data_fields: the fields of DataConfig that matter to it.
        solved_by: what a cross-attention head does that solves it by looking at the answer, as a
            verb; empty where that is not known.
        reachable: the share of unseen inputs that the best known model gets right.
        default_model, default_training: what its recipe changes in that preset's settings.
        source_vocabulary, target_vocabulary: the tokens of either side.
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
        """Whether a source is one of those it trains on; None where nobody can know, as of what
        is drawn at random."""
        return None

    def harder(self) -> "Task | None":
        """The same task with longer sources than any it trains on; None if it cannot make them."""
        return None

    @classmethod
    def ideal_places(cls, source: Sequence[str], written: Sequence[str]) -> Places | None:
        """Where cross-attention would look if it solved the task by looking at the answer.

        Known for tasks whose every output token comes from certain places of the input. A model
        may solve the task otherwise; then its heads score low here, and that is a finding too.

        Args:
            source, written: tokens, without <eos>.

        Returns:
            For each written token the places of the source that it comes from, none where that
            is not known; None for a source that is none of this task.
        """
        return None

    @classmethod
    def out_of_form(cls, source: str) -> str:
        """Why no source that it trains on is written so, in a sentence; empty if one may be."""
        return ""

    def is_right(self, pair: Pair, output: str) -> bool:
        """Whether an output answers the pair's source."""
        return output == pair.target

    def error_kind(self, pair: Pair, output: str) -> str:
        """What is wrong with an output, in a few words to be counted; empty if it is right."""
        if self.is_right(pair, output):
            return ""
        written, wanted = self._cut(output), self._cut(pair.target)
        if not written:
            return "nothing written"
        if len(written) != len(wanted):
            return "too short" if len(written) < len(wanted) else "too long"
        return self.same_length_error(written, wanted)

    def same_length_error(self, written: Sequence[str], wanted: Sequence[str]) -> str:
        """What is wrong with an output that has as many tokens as the target."""
        wrong = sum(map(ne, written, wanted))
        if wrong == len(wanted):
            return "nothing right"
        return "one token wrong" if wrong == 1 else "some tokens wrong"

    def _cut(self, text: str) -> list[str]:
        """A target side's text as tokens; a special token in it is one that byte pairs lack."""
        try:
            return self.target_vocabulary.cut(text)
        except VocabularyError:
            return text.split()

    @abstractmethod
    def longest(self) -> tuple[int, int]:
        """Most tokens of a source and of a target, without <bos> and <eos>."""

    def longest_trained(self) -> tuple[int, int]:
        """The same, of what it trains on alone."""
        return self.longest()

    def facts(self) -> Facts:
        source, target = self.source_vocabulary, self.target_vocabulary
        return Facts((len(source), len(target)), self.longest(), source == target)


class GeneratedTask(Task):
    """A task whose sources are drawn at random and whose answers are computed.

    The split is made by the pair itself: one in ten, by the checksum of its source (or of what
    :meth:`split_by` names), is held out, whichever run draws it.
    """

    BATCHES_AN_EPOCH = 32
    PAIRS_AN_EPOCH = 8192
    """At most, unless one batch is larger: drawing an epoch must not take long."""
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
        """What must not stand both in training and held out."""
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
        """Whether a source, which has an answer, is of those it draws from."""
        return True

    def trains_on(self, source: str) -> bool | None:
        """False of what is held out or never drawn; whether another was drawn, nobody knows."""
        try:
            pair = Pair(source, self.answer(source))
        except ValueError:
            return False
        return None if self.draws(source) and not self.is_held_out(pair) else False


def few_updates(
    steps: int, learning_rate: float, batch_size: int
) -> Mapping[str, int | float | str]:
    """A recipe with Muon, and texts of all lengths in every update: one of short texts alone would
    move the weights as far as any. What it takes was measured by ``python -m benchmarks.solved``.
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
    """Drawn once: nine of ten that are drawn are no use, and each evaluation asks for the same."""
    random = Random(f"{task.name}/held-out")
    found: dict[str, Pair] = {}
    for _ in range(200 * count):  # a small task may have fewer than asked for
        if len(found) == count:
            break
        pair = task.draw_pair(random)
        if task.is_held_out(pair):
            found.setdefault(pair.source, pair)
    return tuple(found.values())

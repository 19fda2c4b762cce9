"""Accuracy by input length: from which length on a model's outputs are no longer right."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from transformer.checkpoint import Checkpoint
from transformer.decoding.strategies import Greedy
from transformer.tasks import Pair


@dataclass(frozen=True)
class Lengths:
    """Number of examples tried and right, by source length in tokens without <bos> and <eos>."""

    tried: Mapping[int, int]
    right: Mapping[int, int]

    def points(self, least: int = 1) -> list[tuple[float, float]]:
        """(length, share right from 0 to 1), for lengths with at least ``least`` examples."""
        return [
            (float(length), self.right.get(length, 0) / count)
            for length, count in sorted(self.tried.items())
            if count >= least
        ]

    def falls(self, below: float, least: int = 1) -> int | None:
        """The length from which on the share stays below ``below``; None if the last is not."""
        found = None
        for length, share in self.points(least):
            if share >= below:
                found = None
            elif found is None:
                found = int(length)
        return found


def by_length(
    checkpoint: Checkpoint,
    pairs: Sequence[Pair],
    is_right: Callable[[Pair, str], bool],
    max_length: int,
) -> Iterator[float | Lengths]:
    """Decode examples greedily and count them by length; unreadable ones are left out.

    Yields the share done, from 0 to 1, then the counts.
    """
    tried, right = Counter[int](), Counter[int]()
    sources = [pair.source for pair in pairs]
    strategy = Greedy(max_length=max_length)
    for progress in checkpoint.answering(sources, strategy, margins=False):
        for number, answer in progress.new.items():
            if not answer.error:
                length = len(checkpoint.source_vocabulary.encode(pairs[number].source))
                tried[length] += 1
                right[length] += is_right(pairs[number], answer.output)
        yield progress.share
    yield Lengths(tried, right)

"""Clocks, rounds and the few statistics that the tables are made of."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some numbers."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """
        Raises:
            ValueError: there are no values.
        """
        if not values:
            raise ValueError("There is nothing to take a median of.")
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times as fast we are: the spread of theirs / ours, round by round.

    Seconds in, for the same work. Both samples of a round saw the same machine, so that load
    which comes and goes falls out of the ratio, but not out of a ratio of medians.

    Raises:
        ValueError: the two have not the same number of rounds.
    """
    return Spread.of([b / a for a, b in zip(ours, theirs, strict=True)])


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The p of cost ~ size^p: the slope of the least-squares line through the logarithms.

    Raises:
        ValueError: fewer than two sizes, or a number that has no logarithm.
    """
    x, y = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    return statistics.linear_regression(x, y).slope


def clock(kind: str) -> float:
    """Seconds: "cpu" of this process, "wall" of the wall, "cuda" of that once a GPU is idle."""
    if kind == "cpu":
        return time.process_time()
    if kind == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


Sample = Callable[[], float]
"""Does some work, and returns how much of it, in the unit of its row (such as tokens)."""


def interleave(
    samples: Mapping[str, Sample],
    rounds: int,
    seconds: float,
    kind: str = "cpu",
    warm: bool = False,
) -> dict[str, list[float]]:
    """Seconds a unit of work: one sample of every variant in turn.

    A round before the first warms up and is not counted. Every round begins with another
    variant, so that none is always the one after the slowest.

    Args:
        rounds: as many at most; seconds: of the wall, after which no round begins, two apart.
        kind: of :func:`clock`.
        warm: all of this ran already, and needs no warming up.
    """
    names = list(samples)
    found: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + seconds
    for number in range(0 if warm else -1, rounds):
        if number >= 2 and time.perf_counter() > end:
            break
        start = number % len(names)
        for name in names[start:] + names[:start]:
            began = clock(kind)
            done = samples[name]()
            passed = clock(kind) - began
            if number >= 0:
                found[name].append(passed / done)
    return found

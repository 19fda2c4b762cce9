"""Clocks, rounds and the statistics for the tables."""

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

    Both are seconds for the same work. The two samples of a round ran under the same load, so
    changing load cancels in their ratio, but not in a ratio of medians.

    Raises:
        ValueError: the numbers of rounds differ.
    """
    return Spread.of([b / a for a, b in zip(ours, theirs, strict=True)])


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The p of cost ~ size^p: the slope of the least-squares line through the logarithms.

    Raises:
        ValueError: there are fewer than two sizes, or a number is not positive.
    """
    x, y = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    return statistics.linear_regression(x, y).slope


def clock(kind: str) -> float:
    """Seconds of a clock: "cpu" is this process's CPU time, "wall" is wall-clock time, "cuda" is
    wall-clock time after waiting for the GPU."""
    if kind == "cpu":
        return time.process_time()
    if kind == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


Sample = Callable[[], float]
"""Does some work and returns its amount in the row's unit (such as tokens)."""


def interleave(
    samples: Mapping[str, Sample],
    rounds: int,
    seconds: float,
    kind: str = "cpu",
    warm: bool = False,
) -> dict[str, list[float]]:
    """Measure seconds per unit of work: in each round, one sample of every variant in turn.

    A warm-up round comes first and is not counted. Every round starts with another variant, so
    that none always follows the slowest.

    Args:
        rounds: maximum number of rounds.
        seconds: wall-clock seconds after which no round starts, except the first two.
        kind: argument of :func:`clock`.
        warm: all samples have run before, so skip the warm-up round.
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

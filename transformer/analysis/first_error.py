"""Where an output first leaves the true target, and how near the right token was."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


def alike(one: Sequence[object], other: Sequence[object]) -> int:
    """How many tokens two outputs begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def parting(one: Sequence[object], other: Sequence[object]) -> int | None:
    """The first position at which two outputs differ; None if they are the same."""
    place = alike(one, other)
    return None if place == len(one) == len(other) else place


@dataclass(frozen=True)
class FirstError:
    """The first step that went wrong.

    position: from 0.
    written, wanted: ids.
    probability, wanted_probability: what the model gave them at that step.
    rank: the place of the wanted token among all, 1 for the best.
    """

    position: int
    written: int
    wanted: int
    probability: float
    wanted_probability: float
    rank: int


def first_error(
    written: Sequence[int], wanted: Sequence[int], logits: ArrayLike
) -> FirstError | None:
    """Compare an output with the true target, token by token.

    Args:
        written, wanted: ids, each with its <eos>; an output that was cut has none.
        logits: or log-probabilities, [step, vocabulary].

    Returns:
        None where no step is wrong: the output is the target, or was cut on its way there.
    """
    for position, (token, right) in enumerate(zip(written, wanted, strict=False)):
        if token != right:
            row = np.asarray(logits, np.float64)[position]
            shares = np.exp(row - row.max())
            shares /= shares.sum()
            rank = 1 + int((row > row[right]).sum())
            return FirstError(
                position, token, right, float(shares[token]), float(shares[right]), rank
            )
    return None

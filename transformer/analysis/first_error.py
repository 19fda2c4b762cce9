"""Where an output first differs from the true target, and how probable the right token was."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


def common_prefix_length(one: Sequence[object], other: Sequence[object]) -> int:
    """The length of the longest common prefix of two outputs."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def first_mismatch(one: Sequence[object], other: Sequence[object]) -> int | None:
    """The first position at which two outputs differ; None if they are the same."""
    place = common_prefix_length(one, other)
    return None if place == len(one) == len(other) else place


@dataclass(frozen=True)
class FirstError:
    """The first wrong step of an output.

    position: of the step, from 0.
    written, wanted: ids of the token written there and of the right one.
    probability, wanted_probability: the model's probabilities of both at that step.
    rank: rank of the wanted token, 1 for the most probable.
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
        written, wanted: ids with their final <eos>; an output cut at its maximum length has none.
        logits: logits or log-probabilities, [step, vocabulary].

    Returns:
        None if no step is wrong: the output equals the target, or was cut before it differed.
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

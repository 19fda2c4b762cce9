"""Could a score be luck? Two one-sided tests on counts of right answers. Loads no torch."""

from math import exp, lgamma, log

SIGNIFICANCE_LEVEL = 1e-3
"""Significance level: a result that chance gives with a lower probability is not luck."""


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def fisher_p_value(right: int, of: int, before: int, of_before: int) -> float:
    """Fisher's exact test: the probability of at least ``right`` right answers after training, if
    training had changed nothing.

    Args:
        right, of: right answers after training, and the number of inputs.
        before, of_before: the same for the untrained model.
    """
    total, marked = of + of_before, right + before
    whole = _log_choose(total, of)
    return sum(
        exp(_log_choose(marked, k) + _log_choose(total - marked, of - k) - whole)
        for k in range(right, min(of, marked) + 1)
        if of - k <= total - marked
    )


def binomial_p_value(right: int, of: int, share: float) -> float:
    """Binomial test: the probability of at least ``right`` right answers, if each of ``of``
    answers is a guess that is right with probability ``share``."""
    if right <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    return sum(
        exp(_log_choose(of, k) + k * log(share) + (of - k) * log(1 - share))
        for k in range(right, of + 1)
    )


def is_significant(right: int, of: int, before: int, of_before: int, guess: float) -> bool:
    """Whether neither the untrained model nor guessing explains ``right`` right answers."""
    return (
        of > 0
        and of_before > 0
        and fisher_p_value(right, of, before, of_before) < SIGNIFICANCE_LEVEL
        and binomial_p_value(right, of, guess) < SIGNIFICANCE_LEVEL
    )

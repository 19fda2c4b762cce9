"""The baselines that a model must beat to have learned anything: guessing by frequency alone."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from transformer.tasks import Pair, Task

COUNTED_PAIRS = 8192
"""Number of training pairs counted: enough for frequencies, few enough not to delay a run."""
SMOOTHING = 0.5
"""Added to each token's count, so that a token that was never counted has a finite loss."""


def unigram_loss(task: Task, pairs: Sequence[Pair], *, ends_known: bool = False) -> float:
    """Loss of guessing each target token by its frequency in the training data, in nats per token.

    A model that does no better has learned how frequent tokens are, and nothing about the source
    or the tokens before.

    Args:
        pairs: to measure the loss on, as for a model: <eos> counts as a token.
        ends_known: whether the guess knows where each answer ends, which a model learns long
            before anything else about the source.
    """
    counts, asked = _count(task, _training(task)), _count(task, pairs)
    tokens = sum(asked.values())
    if ends_known:
        eos = task.target_vocabulary.special.eos
        del counts[eos], asked[eos]
    total = sum(counts.values()) + SMOOTHING * len(task.target_vocabulary)
    nats = sum(n * -math.log((counts[token] + SMOOTHING) / total) for token, n in asked.items())
    return nats / tokens


def guessed_share(task: Task, pairs: Sequence[Pair]) -> float:
    """The share of answers that guessing without the source gets right, as far as that is known.

    The better of two guesses: always the most frequent answer of the training data; or an answer
    of the right length, with tokens drawn by their frequency.
    """
    training = _training(task)
    answer = Counter(pair.target for pair in training).most_common(1)[0][0]
    always = sum(task.is_right(pair, answer) for pair in pairs) / len(pairs)
    counts = _count(task, training)
    del counts[task.target_vocabulary.special.eos]
    total = sum(counts.values())
    drawn = sum(
        math.prod(counts[token] / total for token in task.target_vocabulary.encode(pair.target))
        for pair in pairs
    )
    return max(always, drawn / len(pairs))


@lru_cache(maxsize=1)  # a run needs it twice at its start, and its health check twice
def _training(task: Task) -> Sequence[Pair]:
    # One epoch of a generated task is COUNTED_PAIRS pairs at this batch size.
    return task.epoch(0, 0, COUNTED_PAIRS // 32)[:COUNTED_PAIRS]


def _count(task: Task, pairs: Sequence[Pair]) -> Counter[int]:
    counts: Counter[int] = Counter({task.target_vocabulary.special.eos: len(pairs)})
    for pair in pairs:
        counts.update(task.target_vocabulary.encode(pair.target))
    return counts

"""Scoring a checkpoint on the held-out pairs of its task: the scores on its card, measured again.

They are measured as in the trainer's evaluation: the same pairs, the same loss, outputs written
token by token and judged by the task.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from transformer.checkpoint import Checkpoint, Summary
from transformer.decoding.many import decode_many
from transformer.decoding.steps import Strategy
from transformer.decoding.strategies import GREEDY
from transformer.tasks import Pair, Task
from transformer.training.loop import evaluate_loss

LOSS_SHARE = 0.1
"""Share of the progress for the loss; the rest is for writing the outputs."""
LOSS_PAIRS = 1024


@dataclass(frozen=True)
class Evaluation:
    """The scores of a checkpoint on held-out pairs.

    loss in nats per token; token_accuracy and exact_match as shares of 1.
    beam: number of hypotheses in the search for outputs; 1 is greedy.
    right: for each pair, whether its output was right.
    """

    examples: int
    loss: float
    token_accuracy: float
    exact_match: float
    beam: int
    seconds: float
    on_training_pairs: bool
    right: tuple[bool, ...]

    def put_into(self, summary: Summary) -> Summary:
        """A copy of a summary, with these scores."""
        names = ("examples", "loss", "token_accuracy", "exact_match")
        return replace(summary, **{name: getattr(self, name) for name in names})


def evaluating(
    checkpoint: Checkpoint,
    task: Task,
    pairs: Sequence[Pair],
    strategy: Strategy = GREEDY,
) -> Iterator[float | Evaluation]:
    """Score a checkpoint; yields the share done, from 0 to 1, and last the evaluation.

    Args:
        strategy: for the search of outputs; its ``max_length`` is set here.

    Raises:
        DivergedError: the loss is not finite.
    """
    started = time.monotonic()
    loss = accuracy = tokens = 0.0
    for start in range(0, len(pairs), LOSS_PAIRS):
        group = pairs[start : start + LOSS_PAIRS]
        found = evaluate_loss(checkpoint.model, task, group, 0)
        # The mean is over tokens, <eos> included.
        weight = sum(len(task.target_vocabulary.encode(pair.target)) + 1 for pair in group)
        loss, accuracy = loss + weight * found.loss, accuracy + weight * found.token_accuracy
        tokens += weight
        yield LOSS_SHARE * (start + len(group)) / len(pairs)
    rows = [checkpoint.source_ids(pair.source) for pair in pairs]
    longest = max(len(task.target_vocabulary.encode(pair.target)) for pair in pairs)
    right = [False] * len(pairs)
    # As in training: an output still unfinished one token past the longest target is wrong anyway.
    search = replace(strategy, max_length=longest + 2)
    for progress in decode_many(checkpoint.model, rows, search, margins=False):
        for place, decoded in progress.new.items():
            output = checkpoint.target_vocabulary.decode(decoded.hypothesis.tokens)
            right[place] = task.is_right(pairs[place], output)
        yield LOSS_SHARE + (1 - LOSS_SHARE) * progress.share
    yield Evaluation(
        len(pairs),
        loss / tokens,
        accuracy / tokens,
        sum(right) / len(right),
        strategy.width,
        round(time.monotonic() - started, 3),
        checkpoint.header.data.evaluates_on_training_pairs,
        tuple(right),
    )

"""Averaging checkpoints: one model whose weights are the mean of several (section 6.1).

The paper averages the last 5 checkpoints of its base models. Whether that helped is measured, not
assumed: each checkpoint and the average are scored on the same held-out pairs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import comb

import torch

from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import Summary
from transformer.checkpoint.untrained import untrained
from transformer.errors import CheckpointError
from transformer.evaluation.scoring import Evaluation, evaluating
from transformer.model import Transformer
from transformer.tasks import Pair, Task

MOST = 20


@dataclass(frozen=True)
class Averaged:
    """An average, and the scores of it and of its members on the same held-out pairs.

    checkpoint: the average, with its scores in its summary.
    """

    checkpoint: Checkpoint
    average: Evaluation
    members: tuple[Evaluation, ...]

    @property
    def verdict(self) -> str:
        """Whether the average scores higher than its best member, in a sentence."""
        best = max(self.members, key=lambda one: (one.exact_match, -one.loss))
        wins = sum(a and not b for a, b in zip(self.average.right, best.right, strict=True))
        losses = sum(b and not a for a, b in zip(self.average.right, best.right, strict=True))
        fell = "fell" if self.average.loss < best.loss else "did not fall"
        loss = f"The loss {fell}, from {best.loss:.3g} to {self.average.loss:.3g}."
        pairs = f"{self.average.examples:,} pairs"
        if wins == losses:
            return f"The score stayed: {sum(best.right):,} of {pairs}, as many as the best. {loss}"
        chance = (
            ", a difference that chance alone makes often" if may_be_chance(wins, losses) else ""
        )
        return (
            f"The score {'rose' if wins > losses else 'fell'}: {sum(self.average.right):,} of "
            f"{pairs} right, the best of them {sum(best.right):,}{chance}. {loss}"
        )


def may_be_chance(wins: int, losses: int) -> bool:
    """Whether the difference between two models may be chance, by the sign test at 5 %.

    wins, losses: numbers of pairs that only the one, and only the other, gets right.
    """
    count = wins + losses
    tail = sum(comb(count, few) for few in range(min(wins, losses) + 1))
    return 2 * tail / 2**count > 0.05


def mean_weights(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The average of some checkpoints, not scored: its summary is None, its origin says what it is.

    Probe and examples are computed again, for the sources of the last checkpoint's examples.

    Raises:
        CheckpointError: they cannot be averaged; one sentence says why.
    """
    check(checkpoints)
    last = checkpoints[-1]
    tensors = {
        # In float64, so that the mean of equal numbers is that number.
        name: torch.stack([one.tensors[name].double() for one in checkpoints]).mean(0).float()
        for name in last.tensors
    }
    made = Checkpoint(replace(last.header, examples=[], probe=None), tensors)
    return _proved(made.model, checkpoints, None)


def _proved(
    model: Transformer, checkpoints: Sequence[Checkpoint], summary: Summary | None
) -> Checkpoint:
    """The average as a checkpoint with new stored outputs, which depend on whether there is a
    summary."""
    last = checkpoints[-1]
    return Checkpoint.of(
        model,
        last.source_vocabulary,
        last.target_vocabulary,
        last.header.data,
        summary,
        [(example.source, example.target) for example in last.header.examples],
        origin=_origin(checkpoints),
        licence=last.header.licence,
    )


def check(checkpoints: Sequence[Checkpoint]) -> None:
    """Check that some checkpoints can be averaged.

    Raises:
        CheckpointError: they cannot; one sentence says why.
    """
    if not 2 <= len(checkpoints) <= MOST:
        raise CheckpointError(
            f"An average is of 2 to {MOST} checkpoints; {len(checkpoints)} were given."
        )
    first = checkpoints[0].header
    for number, other in enumerate((one.header for one in checkpoints[1:]), start=2):
        ours, theirs = first.config.to_dict(), other.config.to_dict()
        if unlike := [name for name in ours if ours[name] != theirs[name]]:
            named = ", ".join(f"{name} {ours[name]} and {theirs[name]}" for name in unlike[:3])
            raise CheckpointError(
                f"Checkpoints 1 and {number} have other architectures ({named}); only weights of "
                "one architecture can be averaged."
            )
        for side in ("source", "target"):
            if getattr(first, f"{side}_vocabulary") != getattr(other, f"{side}_vocabulary"):
                raise CheckpointError(
                    f"Checkpoints 1 and {number} have other {side} vocabularies; only weights "
                    "for the same tokens can be averaged."
                )
        if first.data != other.data:
            raise CheckpointError(
                f"Checkpoints 1 and {number} were trained on other data ({first.data.task} and "
                f"{other.data.task}, or with other settings); there is no score for both."
            )
        if first.licence != other.licence:
            raise CheckpointError(
                f"Checkpoints 1 and {number} have different licences; what the average's would "
                "be is not for a program to say."
            )


def _origin(checkpoints: Sequence[Checkpoint]) -> str:
    steps = [f"{one.summary.steps:,}" if one.summary else "?" for one in checkpoints]
    seeds = sorted({one.summary.seed for one in checkpoints if one.summary})
    seeded = f", seed {', '.join(map(str, seeds))}" if seeds else ""
    if set(steps) == {"?"}:
        return f"The mean of the weights of {len(checkpoints)} checkpoints."
    listed = f"{', '.join(steps[:-1])} and {steps[-1]}"
    return (
        f"The mean of the weights of {len(checkpoints)} checkpoints, saved after {listed} "
        f"updates{seeded}."
    )


def averaging(
    checkpoints: Sequence[Checkpoint], task: Task, pairs: Sequence[Pair]
) -> Iterator[float | Averaged]:
    """Average and score checkpoints: yields the share done, from 0 to 1, and last the result.

    Args:
        task, pairs: to score the checkpoints, the average and the untrained model on.

    Raises:
        CheckpointError: they cannot be averaged.
    """
    made = mean_weights(checkpoints)
    last = checkpoints[-1].summary
    # The baseline is not copied, but measured on the same pairs.
    scored = [*checkpoints, made, *([untrained(checkpoints[-1])] if last else [])]
    found: list[Evaluation] = []
    for number, one in enumerate(scored):
        for step in evaluating(one, task, pairs):
            if isinstance(step, Evaluation):
                found.append(step)
            else:
                yield (number + step) / len(scored)
    average = found[len(checkpoints)]
    if last is not None:
        made = _proved(made.model, checkpoints, _summary(last, average, found[-1]))
    yield Averaged(made, average, tuple(found[: len(checkpoints)]))


def _summary(last: Summary, average: Evaluation, baseline: Evaluation) -> Summary:
    """The summary of the last checkpoint, with the average's scores and without a curve."""
    return replace(
        average.put_into(last),
        untrained_loss=baseline.loss,
        untrained_exact_match=baseline.exact_match,
        evaluated_on_training_pairs=average.on_training_pairs,
        curve=[],
    )

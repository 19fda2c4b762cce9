"""The pairs that a checkpoint is measured on, and who judges its answers. Loads no torch."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from transformer.errors import TaskError, UserError
from transformer.runs.directory import Run
from transformer.tasks import Pair, Task, build_task
from transformer.tasks.base import GeneratedTask
from transformer.tasks.shipped import ShippedTask

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

GENERATED = 1000
"""Held-out pairs of a task without end, where the file does not say how many it was scored on."""
MOST_GENERATED = 100_000
"""As many as a run may be scored on."""
EVERY_PAIR = 1 << 31


def task_of(checkpoint: "Checkpoint", pairs: Path | None = None) -> Task:
    """The task whose held-out pairs measure a checkpoint.

    Args:
        pairs: a person's own, for a model of these.

    Raises:
        TaskError: its pairs are not here, or are not those that the model was trained on.
    """
    data = checkpoint.header.data
    if data.task == "imported":
        raise TaskError(
            "This model was trained elsewhere, so there are no held-out pairs to score it on."
        )
    try:
        task = build_task(data, pairs)
    except UserError as error:
        raise TaskError(f"The checkpoint cannot be scored. {error}") from None
    known = (checkpoint.source_vocabulary, checkpoint.target_vocabulary)
    if (task.source_vocabulary, task.target_vocabulary) != known:
        raise TaskError(
            "These are not the pairs that the checkpoint was trained on: they give other "
            "vocabularies."
        )
    return task


def own_pairs(path: Path) -> Path | None:
    """The pairs of the run that a checkpoint's file lies in, if it has its own."""
    folder = path.resolve().parent
    if folder.name != "checkpoints" or not (folder.parent / "config.json").is_file():
        return None
    return Run(folder.parent).data_file


def held_out(checkpoint: "Checkpoint", task: Task, examples: int | None = None) -> list[Pair]:
    """The pairs to score on: so many of them, or all that the task holds out.

    A task that draws its pairs holds out pairs without end: of these, as many as the last
    evaluation of the training used, so that its numbers come out again.

    Raises:
        TaskError: there is none.
    """
    if examples is None and isinstance(task, GeneratedTask):
        said = checkpoint.summary.examples if checkpoint.summary else GENERATED
        examples = min(max(1, said), MOST_GENERATED)  # a file may say anything
    pairs = task.held_out(EVERY_PAIR if examples is None else examples)
    if not pairs:
        raise TaskError("The task holds no pair out that the checkpoint could be scored on.")
    return pairs


def test_pairs(task: Task) -> list[Pair]:
    """The test set of a published benchmark.

    Raises:
        TaskError: the task has no published test pairs.
    """
    if not isinstance(task, ShippedTask):
        raise TaskError(f"The task {task.name!r} has no published test pairs; leave out --test.")
    return task.test_pairs()


class Examples(NamedTuple):
    """Pairs to measure exact match on, who judges an answer, and what they are, in words.

    task: what they are of; None where only those in the checkpoint's file are left.
    """

    pairs: list[Pair]
    is_right: Callable[[Pair, str], bool]
    words: str
    task: Task | None = None


def examples_of(
    checkpoint: "Checkpoint", pairs: Path | None, count: int, *, longer: bool = False
) -> Examples:
    """Held-out pairs of the checkpoint's task; else the examples in its file. Reads all of a large
    file of pairs.

    Args:
        pairs: a person's own, for a model of these.
        count: at most so many.
        longer: with longer sources than those it was trained on, where the task can make them.
    """
    task = None
    with suppress(TaskError):  # pairs of its own that are not here, or are others
        task = task_of(checkpoint, pairs)
    longer_task = task.harder() if longer and task is not None else None
    if longer_task is not None and (found := longer_task.held_out(count)):
        words = f"{len(found):,} examples longer than those it was trained on"
        return Examples(found, longer_task.is_right, words, longer_task)
    if task is not None and (found := task.held_out(count)):
        own = checkpoint.header.data.evaluates_on_training_pairs
        words = f"{len(found):,} {'training pairs' if own else 'held-out examples'}"
        return Examples(found, task.is_right, words, task)
    kept = [Pair(one.source, one.target) for one in checkpoint.header.examples if one.target]
    return Examples(kept, _equals_target, f"the {len(kept)} examples in the file")


def has_longer(checkpoint: "Checkpoint") -> bool:
    """Whether its task can make longer examples than it trains on; reads no file."""
    try:
        return build_task(checkpoint.header.data).harder() is not None
    except UserError:
        return False


def _equals_target(pair: Pair, output: str) -> bool:
    return output == pair.target

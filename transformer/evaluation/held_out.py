"""The pairs that a checkpoint is scored on, and how its answers are judged. Loads no torch."""

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
"""Held-out pairs of a generated task, if the file does not say on how many it was scored."""
MOST_GENERATED = 100_000
"""Most held-out pairs of a generated task; a run may be scored on no more."""
EVERY_PAIR = 1 << 31


def task_of(checkpoint: "Checkpoint", pairs: Path | None = None) -> Task:
    """The task whose held-out pairs measure a checkpoint.

    Args:
        pairs: the user's own, if the model was trained on some.

    Raises:
        TaskError: its pairs are missing, or are not those that the model was trained on.
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
    """The file of own pairs of the run whose directory has this checkpoint; None without one."""
    folder = path.resolve().parent
    if folder.name != "checkpoints" or not (folder.parent / "config.json").is_file():
        return None
    return Run(folder.parent).data_file


def held_out(checkpoint: "Checkpoint", task: Task, examples: int | None = None) -> list[Pair]:
    """The pairs to score on: ``examples`` of them, or all that the task holds out.

    A generated task has no end of held-out pairs: of these, as many as in the last evaluation of
    the training, so that its scores can be reproduced.

    Raises:
        TaskError: the task holds out no pair.
    """
    if examples is None and isinstance(task, GeneratedTask):
        said = checkpoint.summary.examples if checkpoint.summary else GENERATED
        examples = min(max(1, said), MOST_GENERATED)  # the file's number is not trusted
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
    """Pairs to measure exact match on, how to judge an answer, and what they are, in words.

    task: the task of the pairs; None if they are the examples in the checkpoint's file.
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
        pairs: the user's own, if the model was trained on some.
        count: the most pairs to return.
        longer: whether to return longer sources than the trained ones, if the task can make them.
    """
    task = None
    with suppress(TaskError):  # own pairs that are missing, or not those it was trained on
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

"""Examples that training never saw, of the task that a checkpoint was trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from pages.components.shell import session
from transformer.errors import UserError
from transformer.runs.directory import Run
from transformer.tasks import Pair, Task, build_task

if TYPE_CHECKING:
    from transformer.checkpoint.checkpoint import Checkpoint

HELD_OUT = 200
"""Examples on which exact match is measured."""


class Examples(NamedTuple):
    """Pairs to measure exact match on, who judges an answer, and what they are, in words.

    task: what they are of; None where only those in the checkpoint's file are left.
    """

    pairs: list[Pair]
    is_right: Callable[[Pair, str], bool]
    words: str
    task: Task | None = None


def held_out(checkpoint: "Checkpoint") -> Examples:
    """Up to 200 held-out examples of the checkpoint's task; else those in its file."""
    return examples_of(checkpoint, data_file(), HELD_OUT)


def examples_of(
    checkpoint: "Checkpoint", pairs: Path | None, count: int, *, longer: bool = False
) -> Examples:
    """Examples of the checkpoint's task; else those in its file. Reads all of a large file.

    Args:
        pairs: from :func:`data_file`.
        count: at most so many.
        longer: with longer sources than those it was trained on, where the task can make them.
    """
    data = checkpoint.header.data
    task = _task(checkpoint, pairs)
    longer_task = task.harder() if longer and task is not None else None
    if longer_task is not None and (found := longer_task.held_out(count)):
        words = f"{len(found):,} examples longer than those it was trained on"
        return Examples(found, longer_task.is_right, words, longer_task)
    if task is not None and (found := task.held_out(count)):
        what = "training pairs" if data.evaluates_on_training_pairs else "held-out examples"
        return Examples(found, task.is_right, f"{len(found):,} {what}", task)
    kept = [Pair(one.source, one.target) for one in checkpoint.header.examples if one.target]
    return Examples(kept, _equals_target, f"the {len(kept)} examples in the file")


def _task(checkpoint: "Checkpoint", pairs: Path | None) -> Task | None:
    """The task, if its pairs are here and are those that the checkpoint was trained on."""
    try:
        task = build_task(checkpoint.header.data, pairs)
    except UserError:  # pairs of its own that are not here
        return None
    vocabularies = (task.source_vocabulary, task.target_vocabulary)
    if vocabularies != (checkpoint.source_vocabulary, checkpoint.target_vocabulary):
        return None
    return task


def has_longer(checkpoint: "Checkpoint") -> bool:
    """Whether its task can make longer examples than it trains on; reads no file."""
    try:
        return build_task(checkpoint.header.data).harder() is not None
    except UserError:
        return False


def _equals_target(pair: Pair, output: str) -> bool:
    return output == pair.target


def data_file() -> Path | None:
    """The pairs of the run that the chosen checkpoint belongs to, if it has its own."""
    entry = session.listed_checkpoints().get(st.session_state.get("checkpoint") or "")
    if (
        entry is None
        or entry.path.parent.name != "checkpoints"
        or entry.path.parent == session.BUNDLED
    ):
        return None
    return Run(entry.path.parents[1]).data_file

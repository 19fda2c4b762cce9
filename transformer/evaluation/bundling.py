"""Preparing a checkpoint to be passed on: licence, notes, and 16 bits per weight if wanted."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import MAX_TEXT, PRECISIONS, Example, Summary
from transformer.checkpoint.verification import verify
from transformer.errors import CheckpointError, TaskError
from transformer.evaluation.held_out import held_out, task_of
from transformer.evaluation.scoring import Evaluation, evaluating
from transformer.tasks import Pair, Task
from transformer.tasks.base import GeneratedTask

MOST_HELD_OUT = 100_000
"""Held-out pairs of a list that are searched for an example."""


@dataclass(frozen=True)
class Bundled:
    """The checkpoint that was written.

    before: its scores before it was rounded; None if it was not, or was trained elsewhere.
    """

    checkpoint: Checkpoint
    before: Summary | None = None


def bundle(
    source: Path,
    out: Path,
    *,
    licence: str,
    notes: str = "",
    precision: str = "float32",
    examples: Sequence[str] = (),
    data: Path | None = None,
) -> Bundled:
    """Write a checkpoint again, with its licence and notes.

    Rounded weights are another model: it is scored again, on as many held-out pairs as the last
    evaluation of its training, and the file has the new scores.

    Args:
        examples: held-out sources to put first among the file's examples, which the pages offer;
            they replace the last ones.
        data: the user's own pairs, if the model was trained on some.

    Raises:
        CheckpointError: the file is damaged, its model no longer behaves as when it was saved, or
            a text is too long.
        TaskError: the task's pairs are needed, but missing or not those it was trained on, or an
            example is not held out.
    """
    if precision not in PRECISIONS:
        raise CheckpointError(f"The precision must be one of {', '.join(PRECISIONS)}.")
    if max(len(licence), len(notes)) > MAX_TEXT:
        raise CheckpointError(f"Licence and notes may have {MAX_TEXT:,} characters each.")
    # Its behaviour is recorded again below; that must not hide that it fails the old record.
    if failed := [check.name for check in verify(source) if not check.ok]:
        raise CheckpointError(
            f"{source.name} does not behave as when it was saved ({', '.join(failed)}); it is not "
            "passed on."
        )
    given = Checkpoint.load(source)
    header = given.header
    rounds = precision != header.precision
    task = task_of(given, data) if examples or (rounds and header.summary) else None
    pairs = _examples(header.examples, examples, task)
    made = Checkpoint.of(
        given.model,
        header.source_vocabulary,
        header.target_vocabulary,
        header.data,
        header.summary,
        pairs,
        notes or header.notes,
        origin=header.origin,
        licence=licence,
        precision=precision,
    )
    before = None
    if rounds and header.summary is not None and task is not None:
        before = header.summary
        made.header = replace(made.header, summary=_scored(made, before, task))
    made.save(out)
    return Bundled(made, before)


def _examples(kept: Sequence[Example], wanted: Sequence[str], task: Task | None) -> list[Pair]:
    pairs = [Pair(example.source, example.target) for example in kept]
    if task is None:
        return pairs
    first = [_held_out(task, text) for text in dict.fromkeys(wanted)]
    rest = [pair for pair in pairs if pair.source not in wanted]
    return [*first, *rest][: max(len(pairs), len(first))]


def _held_out(task: Task, source: str) -> Pair:
    """The pair of a held-out source, of a task that generates or lists its pairs."""
    if isinstance(task, GeneratedTask):
        with suppress(ValueError):  # not a source of this task
            pair = Pair(source, task.answer(source))
            if task.is_held_out(pair):
                return pair
    else:
        for pair in task.held_out(MOST_HELD_OUT):
            if pair.source == source:
                return pair
    raise TaskError(f"The example {source[:40]!r} is not a held-out input of this task.")


def _scored(checkpoint: Checkpoint, before: Summary, task: Task) -> Summary:
    *_, found = evaluating(checkpoint, task, held_out(checkpoint, task, before.examples))
    assert isinstance(found, Evaluation)
    return found.put_into(before)

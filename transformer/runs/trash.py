"""Deleted runs: moved to a trash folder, from which they can be restored for a while."""

import os
import shutil
from pathlib import Path

from transformer.errors import RunError, explaining
from transformer.files import changed_at
from transformer.runs import queue
from transformer.runs.directory import ROOT, Run, Status, list_runs, note_change
from transformer.runs.eviction import StoredEntry, paths_to_delete

FOLDER = "trash"
MAX_DELETED_RUNS = 50
"""Most deleted runs in the trash. One more replaces the oldest of the person who deletes it."""


def delete(run: Run) -> None:
    """Move a run to the trash, from where it can be restored; an active trainer is killed.

    Raises:
        RunError: the run cannot be moved, or its trainer cannot be killed from here.
    """
    root = run.path.parent
    with queue.locked(root):
        queue.kill(run)
        try:
            with run.lock():
                pass
        except RunError as error:
            raise RunError(f"{error} It could not be deleted; stop it first.") from None
        status = run.status()
        if status.state == "queued":  # when restored, it must not start by itself
            run.set_status(Status("paused", step=status.step))
        gone = paths_to_delete(
            _entries(root), run.about()["owner"], most=MAX_DELETED_RUNS, incoming_bytes=0
        )
        if gone is None:
            raise RunError(
                f"The run {run.id} was not deleted: the trash is full of the last runs of other "
                "people. Try again later, or ask the person who runs the server."
            )
        with explaining(f"The run {run.id} could not be deleted", RunError):
            for path in gone:
                shutil.rmtree(path, ignore_errors=True)
            (root / FOLDER).mkdir(exist_ok=True)
            # From a terminal, a run can have the name of one deleted earlier, which is replaced.
            shutil.rmtree(root / FOLDER / run.id, ignore_errors=True)
            os.replace(run.path, root / FOLDER / run.id)
            os.utime(root / FOLDER / run.id)
            note_change()
    queue.advance(root)


def deleted_runs(root: Path = ROOT) -> list[Run]:
    """Deleted runs, the most recently deleted first."""
    runs = list_runs(root / FOLDER)
    return sorted(runs, key=lambda run: changed_at(run.path), reverse=True)


def _entries(root: Path) -> list[StoredEntry]:
    return [
        StoredEntry(run.path, (run.about()["owner"],), 0, changed_at(run.path))
        for run in deleted_runs(root)
    ]


def restore(run_id: str, root: Path = ROOT) -> Run:
    """Take a run out of the trash.

    Raises:
        RunError: it is not there.
    """
    if run_id not in {run.id for run in deleted_runs(root)}:
        raise RunError(f"The run {run_id[:40]} is not in the trash any more.")
    with explaining(f"The run {run_id} could not be restored", RunError):
        os.replace(root / FOLDER / run_id, root / run_id)
        note_change()
    return Run(root / run_id)

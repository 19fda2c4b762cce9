"""Going on from what a run has saved: the run itself, or a new one with a longer schedule."""

import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

from transformer.errors import RunError
from transformer.files import link_or_copy
from transformer.runs import queue
from transformer.runs.creation import About, new_directory, write_run
from transformer.runs.directory import ACTIVE, RESUMABLE, Run, Status
from transformer.runs.snapshots import (
    APPEND_ONLY,
    Snapshot,
    newest_sound,
    state_file,
    weights_file,
    write_manifest,
)
from transformer.training import compute


def resume(run: Run) -> None:
    """Let a paused, failed or interrupted run go on from the last point it saved.

    Raises:
        RunError: the run is at work, or has ended; or too many runs are waiting.
    """

    def check() -> None:
        state = run.status().state
        if state not in RESUMABLE:
            raise RunError(f"The run {run.id} is {state}, so there is nothing to resume.")

    def prepare() -> Run:
        check()  # again: another may have resumed it by now
        run.clear_command()
        return run

    check()  # before it is said that others wait, too
    queue.join(run.path.parent, run.about()["owner"], prepare)


def train_on(
    run: Run,
    steps: int,
    *,
    learning_rate: float | None = None,
    name: str = "",
    owner: str = "",
    path: Path | None = None,
) -> Run:
    """A new, paused run that goes on where another ended, with a longer schedule.

    It has the other's history, weights and optimizer state, and stays when the other is deleted.

    Args:
        steps: updates to add.
        learning_rate: another highest rate, for one that was too high.
        path: where to make it; default: beside the other, if there is room in the queue.

    Raises:
        RunError: the run is still at work, has saved nothing to go on from, or too many wait.
        ConfigError: the settings are out of their bounds.
    """
    if steps < 1:
        raise RunError(f"A run cannot be trained on for {steps} steps; add at least 1.")
    if run.status().state in (*ACTIVE, "queued"):
        raise RunError(f"The run {run.id} is still {run.status().state}; wait, or stop it first.")
    start = newest_sound(run.path)
    if start is None:
        raise RunError(f"The run {run.id} has saved nothing to go on from.")
    config = run.config()
    training = config.training.replace(
        steps=start.step + steps,
        learning_rate=learning_rate or config.training.learning_rate,
        # The loss that ended the other would end this one at its first evaluation.
        until_loss=0.0,
    )
    before = run.about()
    about = About(
        name=name or f"{before['name'] or run.id}, trained on",
        owner=owner,
        author=before["author"] if owner == before["owner"] else "",
        parent=run.id,
        parent_step=start.step,
        parent_seconds=_seconds_until(run, start.step),
    )
    if path is None:
        path = run.path.parent / secrets.token_hex(6)
        queue.check_room(run.path.parent, owner)
    with new_directory(path) as folder:
        _copy_snapshot(run, start, folder)
        write_run(
            folder, replace(config, training=training), about, Status("paused", step=start.step)
        )
    return Run(path)


def _seconds_until(run: Run, step: int) -> float:
    """How long the run had trained at a step; the limit on time starts again with each run."""
    return max((one.seconds or 0.0 for one in run.metrics() if one.step <= step), default=0.0)


def _copy_snapshot(run: Run, start: Snapshot, folder: Path) -> None:
    """Everything of a run that a snapshot vouches for."""
    source, target = run.path / "checkpoints", folder / "checkpoints"
    for made in {start.step, 0}:
        for path in (weights_file(source, made), source / f"step-{made}.json"):
            if path.exists():
                shutil.copyfile(path, target / path.name)
    shutil.copyfile(state_file(source, start.step), state_file(target, start.step))
    if run.data_file is not None:
        link_or_copy(run.data_file, folder / "data.tsv")
    for name in (*APPEND_ONLY, "attention.json", "goals.json", compute.FILE):
        if (run.path / name).exists():
            shutil.copyfile(run.path / name, folder / name)
    write_manifest(target, replace(start, ended=""))
    for name, length in start.lengths.items():
        if (folder / name).exists():
            os.truncate(folder / name, length)

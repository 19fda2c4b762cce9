"""Resuming a run from its last snapshot, or continuing it in a new run with a longer schedule.

How a resumed run is checked is here, too: :func:`newest_intact_snapshot` finds where it can go on,
:func:`rewind` takes the run's directory back to it.
"""

import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

from transformer.errors import RunError
from transformer.files import link_or_copy, sweep
from transformer.runs import queue
from transformer.runs.creation import About, new_directory, write_run
from transformer.runs.directory import ACTIVE, RESUMABLE, Run, Status
from transformer.runs.snapshots import (
    APPEND_ONLY,
    Snapshot,
    file_sha256,
    manifests,
    size_of,
    snapshots,
    state_file,
    weights_file,
    write_manifest,
)
from transformer.training import compute


def resume(run: Run) -> None:
    """Resume a paused, failed or interrupted run from its last snapshot.

    Raises:
        RunError: the run is active or has ended, or too many runs are waiting.
    """

    def check() -> None:
        state = run.status().state
        if state not in RESUMABLE:
            raise RunError(f"The run {run.id} is {state}, so there is nothing to resume.")

    def prepare() -> Run:
        check()  # again, under the queue's lock: another process may have resumed it by now
        run.clear_command()
        return run

    check()  # first: its error matters more than that of a full queue
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
    """Make a new, paused run that continues ``run`` with a longer schedule.

    It has copies of the run's history, weights and optimizer state: ``run`` may be deleted.

    Args:
        steps: updates to add.
        learning_rate: a new highest rate, if the old one was too high.
        path: the new directory; default: beside ``run``, if there is room in the queue.

    Raises:
        RunError: the run is still active, has no snapshot, or too many runs are waiting.
        ConfigError: the settings are out of their bounds.
    """
    if steps < 1:
        raise RunError(f"A run cannot be trained on for {steps} steps; add at least 1.")
    if run.status().state in (*ACTIVE, "queued"):
        raise RunError(f"The run {run.id} is still {run.status().state}; wait, or stop it first.")
    start = newest_intact_snapshot(run.path)
    if start is None:
        raise RunError(f"The run {run.id} has saved nothing to go on from.")
    config = run.config()
    training = config.training.replace(
        steps=start.step + steps,
        learning_rate=learning_rate or config.training.learning_rate,
        # A target loss that ended the parent would end this run at its first evaluation.
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


def newest_intact_snapshot(run: Path) -> Snapshot | None:
    """The newest snapshot whose files are bit for bit as saved; None if there is none yet.

    A snapshot with a damaged or missing file is passed over, and so is one for which the
    append-only files are damaged or too short. If that leaves no snapshot, the
    append-only files are not checked: the curve loses a point, but the run can be resumed.

    Raises:
        RunError: there are snapshots, but none is intact.
    """
    folder = run / "checkpoints"
    whole = [snapshot for snapshot in reversed(snapshots(folder)) if _is_whole(run, snapshot)]
    for snapshot in whole:
        if all(
            file_sha256(run / name, length) == snapshot.history[name]
            for name, length in snapshot.lengths.items()
        ):
            return snapshot
    if whole:
        return whole[0]
    if manifests(folder):
        raise RunError(
            "None of the points this run saved is intact, so it cannot go on. Start it "
            "again with the same settings: the same seed gives the same run."
        )
    return None


def _is_whole(run: Path, snapshot: Snapshot) -> bool:
    folder = run / "checkpoints"
    return (
        file_sha256(weights_file(folder, snapshot.step)) == snapshot.weights
        and file_sha256(state_file(folder, snapshot.step)) == snapshot.state
    )


def rewind(run: Path, snapshot: Snapshot | None) -> None:
    """Remove from a run's directory what was written after a snapshot; all, if that is None.

    Only the trainer that holds the run's lock may call it.
    """
    for name in APPEND_ONLY:
        length = snapshot.lengths[name] if snapshot else 0
        if size_of(run / name) > length:
            os.truncate(run / name, length)
        elif 0 < size_of(run / name) < length and name.endswith(".jsonl"):
            os.truncate(run / name, (run / name).read_bytes().rfind(b"\n") + 1)
    folder = run / "checkpoints"
    sweep(folder)
    known = {one.step for one in snapshots(folder) if snapshot and one.step <= snapshot.step}
    # Manifests are deleted first, so that none names a missing file.
    for path in sorted(folder.glob("step-*"), key=lambda path: path.suffix != ".json"):
        number = path.name.split(".")[0].removeprefix("step-")
        if number.isdecimal() and int(number) not in known:
            path.unlink()


def _seconds_until(run: Run, step: int) -> float:
    """Seconds that the run had trained at a step. A new run's time limit does not count them."""
    return max((one.seconds or 0.0 for one in run.metrics() if one.step <= step), default=0.0)


def _copy_snapshot(run: Run, start: Snapshot, folder: Path) -> None:
    """Copy a snapshot and the run's other files, truncated to what they were at that step."""
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

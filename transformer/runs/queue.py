"""Who trains when: starting, queueing, pausing, resuming, stopping and deleting runs.

Queued is a state on disk. There is no service: a trainer's last act, and every look at the
list, starts whoever is next. ``queue.lock`` beside the runs lets one process at a time decide.
"""

import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from transformer.config.architecture import RunConfig
from transformer.config.limits import NO_OWN_PAIRS, Limits
from transformer.errors import RunError
from transformer.files import link_or_copy
from transformer.runs import launch
from transformer.runs.directory import (
    ACTIVE,
    RESUMABLE,
    ROOT,
    Run,
    Status,
    create_run,
    list_runs,
    never_began,
    new_directory,
    process_of,
    runs_in,
    started,
    write_run,
)
from transformer.runs.snapshots import (
    APPEND_ONLY,
    Commit,
    newest_sound,
    state_file,
    weights_file,
    write_manifest,
)
from transformer.training import compute

NICE = 10
TRASH = "trash"
TRASH_KEEPS = 50
"""Deleted runs that can be had back; the oldest give way."""
KILL_SECONDS = 10.0
QUEUE_SECONDS = 30.0
"""Thirty who ask at the same moment are served one after the other, on a busy machine too."""
Statuses = list[tuple[Run, Status]]
LOOK_SECONDS = 1.0
"""However many people look, one process looks through the runs no more often than this."""


@contextmanager
def _queue_lock(root: Path, wait: float = QUEUE_SECONDS) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / "queue.lock", timeout=wait, poll_interval=0.01):
            yield
    except Timeout:
        raise RunError("The queue of runs is busy. Try again in a moment.") from None


# --- Asking for a run ----------------------------------------------------------------------


def submit(
    config: RunConfig,
    *,
    name: str = "",
    pairs: Path | None = None,
    owner: str = "",
    shared: bool = False,
    root: Path = ROOT,
) -> Run:
    """Make a run and start it, or let it wait for its turn.

    Raises:
        RunError: too many runs are waiting, or the model is larger than allowed here.
    """
    limits = Limits.from_environment()
    if config.model.num_parameters > limits.parameters:
        raise RunError(
            f"The model would have {config.model.num_parameters:,} parameters; at most "
            f"{limits.parameters:,} are allowed here. Lower d_model, d_ff or the number of layers."
        )
    if pairs is not None and not shared and not limits.own_pairs:
        raise RunError(NO_OWN_PAIRS)
    if limits.owned and config.training.threads > limits.threads:
        raise RunError(
            f"threads = {config.training.threads}: at most {limits.threads} are allowed here."
        )
    with _queue_lock(root):
        statuses = _statuses(root)
        _check_room(statuses, owner, limits)
        run = create_run(config, name=name, pairs=pairs, owner=owner, shared=shared, root=root)
        _enqueue(run, statuses)
    _advance_unless_busy(root)
    return run


def resume(run: Run) -> None:
    """Let a paused, failed or interrupted run go on from the last point it saved.

    Raises:
        RunError: the run is at work, or has ended; or too many runs are waiting.
    """
    root = run.path.parent
    with _queue_lock(root):
        state = run.status().state
        if state not in RESUMABLE:
            raise RunError(f"The run {run.id} is {state}, so there is nothing to resume.")
        statuses = _statuses(root)
        _check_room(statuses, run.about()["owner"], Limits.from_environment())
        run.clear_command()
        _enqueue(run, statuses)
    _advance_unless_busy(root)


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
    about = {
        "name": (name or f"{run.about()['name'] or run.id}, trained on")[:200],
        "created": time.time(),
        "owner": owner,
        "parent": run.id,
        "parent_step": start.step,
        "parent_seconds": _seconds(run, start.step),
    }
    if path is None:
        path = run.path.parent / secrets.token_hex(6)
        _check_room(_statuses(run.path.parent), owner, Limits.from_environment())
    with new_directory(path) as folder:
        _copy_commit(run, start, folder)
        write_run(
            folder, replace(config, training=training), about, Status("paused", step=start.step)
        )
    return Run(path)


def _seconds(run: Run, step: int) -> float:
    """How long the run had trained at a step; the limit on time is for each run anew."""
    return max((one.seconds or 0.0 for one in run.metrics() if one.step <= step), default=0.0)


def _copy_commit(run: Run, start: Commit, folder: Path) -> None:
    """Everything of a run that a commit vouches for."""
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


def _check_room(statuses: Statuses, owner: str, limits: Limits) -> None:
    queued = _in_line(statuses)
    if len(queued) >= limits.queue:
        raise RunError(
            f"{len(queued)} runs are waiting already, the most allowed here. Try again later."
        )
    mine = [run for run in queued if owner and run.about()["owner"] == owner]
    if len(mine) >= limits.queue_per_browser:
        raise RunError(
            f"{len(mine)} of your runs are waiting already, the most allowed here. Wait, or stop "
            "one of them."
        )


# --- Whose turn it is -----------------------------------------------------------------------


def _statuses(root: Path) -> Statuses:
    return [(run, run.status()) for run in runs_in(root)]


def _enqueue(run: Run, statuses: Statuses) -> None:
    """Give the run the next ticket. The queue's lock is held."""
    last = max((status.ticket for _, status in statuses), default=0)
    run.set_status(Status("queued", step=run.last_step(), ticket=last + 1))


def waiting(root: Path = ROOT) -> list[Run]:
    """The queued runs, the next one first."""
    return _in_line(_statuses(root))


def _in_line(statuses: Statuses) -> list[Run]:
    found = [(status.ticket, run) for run, status in statuses if status.state == "queued"]
    return [run for _, run in sorted(found, key=lambda entry: entry[0])]


_last_look: dict[Path, float] = {}


def look(root: Path = ROOT) -> None:
    """What every look at the list does: start who is next, if there is room."""
    now = time.monotonic()
    if now - _last_look.get(root, -LOOK_SECONDS) >= LOOK_SECONDS:
        _last_look[root] = now
        _advance_unless_busy(root, wait=0.0)


def _advance_unless_busy(root: Path, wait: float = QUEUE_SECONDS) -> None:
    with suppress(RunError):  # another process is at it
        advance(root, wait)


def advance(root: Path = ROOT, wait: float = QUEUE_SECONDS) -> None:
    """Start queued runs, in order, while there is room for their trainers.

    Raises:
        RunError: others have held the queue for ``wait`` seconds.
    """
    if not waiting(root):
        return
    limits = Limits.from_environment()
    with _queue_lock(root, wait):
        statuses = _statuses(root)
        active = [run for run, status in statuses if status.state in ACTIVE]
        per_owner = Counter(run.about()["owner"] for run in active)
        for run in _in_line(statuses):
            if len(active) >= limits.slots:
                return
            owner = run.about()["owner"]
            if owner and per_owner[owner] >= limits.runs_per_browser:
                continue
            try:
                start(run)
            except (RunError, OSError) as error:  # one that cannot start holds up no other
                with suppress(OSError):
                    run.set_status(Status("failed", str(error), "error"))
            else:
                active.append(run)
                per_owner[owner] += 1


def start(run: Run) -> None:
    """Start the trainer as a process of its own, which outlives this one.

    Raises:
        RunError: the run's config is damaged.
    """
    process = psutil.Process()
    threads = run.config().training.threads
    before = run.status()
    run.set_status(
        replace(
            before,
            state="starting",
            reason="",
            kind="",
            pid=process.pid,
            process_started=started(process),
        )
    )
    if launch.has_one_ready():  # which may have to load first
        threading.Thread(target=_see_through, args=(run, threads), daemon=True).start()
    else:
        trainer = _begin(run, threads)
        threading.Thread(target=_reap, args=(run, trainer), daemon=True).start()


def _see_through(run: Run, threads: int) -> None:
    try:
        trainer = _begin(run, threads)
    except (RunError, OSError) as error:
        with suppress(OSError):
            run.set_status(Status("failed", str(error), "error"))
    else:
        _reap(run, trainer)


def _begin(run: Run, threads: int) -> launch.Trainer:
    trainer = launch.launch(run.path.resolve(), threads)
    claim(run, trainer.pid)
    return trainer


def claim(run: Run, pid: int) -> None:
    """Name the process that is to train the run, so that its death is noticed."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if os.name == "posix" and process.nice() < NICE:
            process.nice(NICE)  # the app must answer while trainers keep every core busy
        run.set_status(
            replace(run.status(), state="starting", pid=pid, process_started=started(process))
        )


def _reap(run: Run, trainer: launch.Trainer) -> None:
    """Wait for the trainer, and say so if it never began."""
    code = trainer.wait()
    with suppress(OSError):
        last = run.last_word()
        mine = last.state == "starting" and last.pid in (trainer.pid, os.getpid())
        if mine and not run.is_locked():  # by one from a terminal, which came first
            run.set_status(never_began(code))
    with suppress(RunError, OSError):
        advance(run.path.parent)


# --- Commands -------------------------------------------------------------------------------


def command(run: Run, word: str) -> None:
    """Tell a run what to do: it obeys between two updates.

    Args:
        word: "pause" (save and end, to be resumed), "stop" (end, and keep what was learned) or
            "save". A run that waits leaves the queue.

    Raises:
        RunError: there is no such command, or nothing there to obey it.
    """
    if not (run.path / "config.json").is_file():
        raise RunError(f"There is no run in {run.path}.")
    status = run.status()
    if status.state == "queued" and word in ("pause", "stop"):
        with _queue_lock(run.path.parent):
            if run.status().state == "queued":
                state = "paused" if word == "pause" else "stopped"
                run.set_status(Status(state, step=status.step))
                return
    if run.status().state not in ACTIVE:
        raise RunError(f"The run {run.id} is not training: it is {run.status().state}.")
    run.command(word)


def kill(run: Run) -> None:
    """End the trainer at once; the run can be resumed from the last point it saved."""
    status = run.status()
    process = process_of(status)
    if process is not None and process.pid != os.getpid():
        with suppress(psutil.Error):
            process.kill()
        deadline = time.monotonic() + KILL_SECONDS
        # Not `wait`: a parent that never asks how its child ended leaves it there for good.
        while process_of(status) is not None and time.monotonic() < deadline:
            time.sleep(0.005)


def delete(run: Run) -> None:
    """Move a run to the trash, from where it can be restored; a trainer at work is ended.

    Raises:
        RunError: the run cannot be moved, or its trainer cannot be ended from here.
    """
    root = run.path.parent
    with _queue_lock(root):
        kill(run)
        try:
            with run.lock():
                pass
        except RunError as error:
            raise RunError(f"{error} It could not be deleted; stop it first.") from None
        status = run.status()
        if status.state == "queued":  # restored, it must not start by itself
            run.set_status(Status("paused", step=status.step))
        try:
            (root / TRASH).mkdir(exist_ok=True)
            # A terminal may give a run the name of one deleted before, which gives way.
            shutil.rmtree(root / TRASH / run.id, ignore_errors=True)
            os.replace(run.path, root / TRASH / run.id)
            os.utime(root / TRASH / run.id)
        except OSError as error:
            raise RunError(f"The run {run.id} could not be deleted: {error.strerror}.") from None
        for old in trash(root)[TRASH_KEEPS:]:
            shutil.rmtree(old.path, ignore_errors=True)
    advance(root)


def trash(root: Path = ROOT) -> list[Run]:
    """Deleted runs, the last deleted first."""
    runs = list_runs(root / TRASH)
    return sorted(runs, key=lambda run: _moved(run.path), reverse=True)


def _moved(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def restore(run_id: str, root: Path = ROOT) -> Run:
    """Take a run out of the trash.

    Raises:
        RunError: it is not there.
    """
    if run_id not in {run.id for run in trash(root)}:
        raise RunError(f"The run {run_id[:40]} is not in the trash any more.")
    try:
        os.replace(root / TRASH / run_id, root / run_id)
    except OSError as error:
        raise RunError(f"The run {run_id} could not be restored: {error.strerror}.") from None
    return Run(root / run_id)

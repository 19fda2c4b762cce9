"""The queue of runs: submitting, starting, pausing and stopping them.

"queued" is a state on disk. There is no queue service: a trainer that ends, and every process
that lists the runs, starts the next run. ``queue.lock``, in the folder of the runs, lets one
process at a time decide.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from transformer.config import RunConfig
from transformer.config.limits import NO_OWN_PAIRS, Limits
from transformer.errors import RunError
from transformer.runs import launch
from transformer.runs.creation import NAMELESS, About, create_run
from transformer.runs.directory import (
    ACTIVE,
    ROOT,
    Run,
    Status,
    failed_to_start,
    process_of,
    runs_in,
    start_time,
)

KILL_SECONDS = 10.0
QUEUE_SECONDS = 30.0
"""Longest wait for the queue's lock: enough for thirty requests at once on a busy machine."""
Statuses = list[tuple[Run, Status]]
NEW_BROWSER_QUEUE_FACTOR = 10
"""A browser without a queued run may join until the queue has this many times its usual limit."""
POLL_SECONDS = 1.0
"""Shortest time between two checks of the queue by one process, whatever the number of users."""


@contextmanager
def locked(root: Path, wait: float = QUEUE_SECONDS) -> Iterator[None]:
    """The queue's lock, held by the one process that decides about the queue.

    Raises:
        RunError: other processes have held it for ``wait`` seconds.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / "queue.lock", timeout=wait, poll_interval=0.01):
            yield
    except Timeout:
        raise RunError("The queue of runs is busy. Try again in a moment.") from None


# --- Asking for a run ----------------------------------------------------------------------


def submit(
    config: RunConfig,
    about: About = NAMELESS,
    *,
    pairs: Path | None = None,
    root: Path = ROOT,
) -> Run:
    """Make a run, and start it if it is its turn; otherwise it stays in the queue.

    Raises:
        RunError: too many runs are waiting, or the model is larger than allowed here.
    """
    limits = Limits.from_environment()
    if config.model.num_parameters > limits.parameters:
        raise RunError(
            f"The model would have {config.model.num_parameters:,} parameters; at most "
            f"{limits.parameters:,} are allowed here. Lower d_model, d_ff or the number of layers."
        )
    if pairs is not None and not about.shared and not limits.own_pairs:
        raise RunError(NO_OWN_PAIRS)
    if limits.owned and config.training.threads > limits.threads:
        raise RunError(
            f"threads = {config.training.threads}: at most {limits.threads} are allowed here."
        )
    prepare = partial(create_run, config, about, pairs=pairs, root=root)
    return join(root, about.owner, prepare)


def join(root: Path, owner: str, prepare: Callable[[], Run]) -> Run:
    """Put a run at the end of the queue, and start it if it is its turn already.

    Args:
        prepare: makes the run, or checks that it can be resumed; called under the queue's lock.

    Raises:
        RunError: too many runs are waiting.
    """
    with locked(root):
        statuses = _statuses(root)
        _check_room(statuses, owner)
        run = prepare()
        last = max((status.ticket for _, status in statuses), default=0)
        run.set_status(Status("queued", step=run.last_step(), ticket=last + 1))
    _advance_unless_busy(root)
    return run


def check_room(root: Path, owner: str) -> None:
    """
    Raises:
        RunError: the queue is full, in all or for this owner.
    """
    _check_room(_statuses(root), owner)


def _check_room(statuses: Statuses, owner: str) -> None:
    limits = Limits.from_environment()
    queued = _queued(statuses)
    mine = [run for run in queued if owner and run.about()["owner"] == owner]
    # A browser with no queued run gets a place in a full queue too: others may have filled it.
    most = limits.queue if mine or not owner else NEW_BROWSER_QUEUE_FACTOR * limits.queue
    if len(queued) >= most:
        raise RunError(
            f"{len(queued)} runs are waiting already, the most allowed here. Try again later."
        )
    if len(mine) >= limits.queue_per_browser:
        raise RunError(
            f"{len(mine)} of your runs are waiting already, the most allowed here. Wait, or stop "
            "one of them."
        )


# --- Whose turn it is -----------------------------------------------------------------------


def _statuses(root: Path) -> Statuses:
    return [(run, run.status()) for run in runs_in(root)]


def waiting(root: Path = ROOT) -> list[Run]:
    """The queued runs, the next one first."""
    return _queued(_statuses(root))


def _queued(statuses: Statuses) -> list[Run]:
    """The queued runs in order. Browsers take turns: the first run of each, active or queued,
    comes before the second run of any."""
    found = [(status.ticket, run) for run, status in statuses if status.state == "queued"]
    before = Counter(
        run.about()["owner"] for run, status in statuses if found and status.state in ACTIVE
    )
    turns = []
    for ticket, run in sorted(found, key=lambda entry: entry[0]):
        owner = run.about()["owner"]
        turns.append((before[owner] if owner else 0, ticket, run))  # terminals take no turns
        before[owner] += 1
    return [run for _, _, run in sorted(turns, key=lambda entry: entry[:2])]


_last_poll: dict[Path, float] = {}


def poll(root: Path = ROOT) -> None:
    """Start the next run if there is room; called whenever the runs are listed."""
    now = time.monotonic()
    if now - _last_poll.get(root, -POLL_SECONDS) >= POLL_SECONDS:
        _last_poll[root] = now
        _advance_unless_busy(root, wait=0.0)


def _advance_unless_busy(root: Path, wait: float = QUEUE_SECONDS) -> None:
    with suppress(RunError):  # another process is starting runs
        advance(root, wait)


def advance(root: Path = ROOT, wait: float = QUEUE_SECONDS) -> None:
    """Start queued runs, in order, while there is room for their trainers.

    Raises:
        RunError: other processes have held the queue's lock for ``wait`` seconds.
    """
    if not waiting(root):
        return
    limits = Limits.from_environment()
    with locked(root, wait):
        statuses = _statuses(root)
        active = [run for run, status in statuses if status.state in ACTIVE]
        per_owner = Counter(run.about()["owner"] for run in active)
        for run in _queued(statuses):
            if len(active) >= limits.slots:
                return
            owner = run.about()["owner"]
            if owner and per_owner[owner] >= limits.runs_per_browser:
                continue
            try:
                start(run)
            except (RunError, OSError) as error:  # it must not block the runs after it
                with suppress(OSError):
                    run.set_status(Status("failed", str(error), "error"))
            else:
                active.append(run)
                per_owner[owner] += 1


def start(run: Run) -> None:
    """Start the trainer as a separate process, which outlives this one.

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
            process_started=start_time(process),
        )
    )
    if launch.has_one_ready():  # it may still be loading: do not wait for it here
        threading.Thread(target=_launch_and_watch, args=(run, threads), daemon=True).start()
    else:
        trainer = _launch(run, threads)
        threading.Thread(target=_watch, args=(run, trainer), daemon=True).start()


def _launch_and_watch(run: Run, threads: int) -> None:
    try:
        trainer = _launch(run, threads)
    except (RunError, OSError) as error:
        with suppress(OSError):
            run.set_status(Status("failed", str(error), "error"))
    else:
        _watch(run, trainer)


def _launch(run: Run, threads: int) -> launch.Trainer:
    trainer = launch.launch(run.path.resolve(), threads)
    claim(run, trainer.pid)
    return trainer


def claim(run: Run, pid: int) -> None:
    """Write the trainer's process into the run's status, so that its death is noticed."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if os.name == "posix" and process.nice() < launch.NICE:
            process.nice(launch.NICE)  # the app must respond while trainers keep every core busy
        run.set_status(
            replace(run.status(), state="starting", pid=pid, process_started=start_time(process))
        )


def _watch(run: Run, trainer: launch.Trainer) -> None:
    """Wait until the trainer ends, and set the status if it never began."""
    code = trainer.wait()
    with suppress(OSError):
        last = run.recorded_status()
        mine = last.state == "starting" and last.pid in (trainer.pid, os.getpid())
        if mine and not run.is_locked():  # a trainer from a terminal may have been first
            run.set_status(failed_to_start(code))
    with suppress(RunError, OSError):
        advance(run.path.parent)


# --- Commands -------------------------------------------------------------------------------


def command(run: Run, word: str) -> None:
    """Send a command to a run; its trainer obeys between two updates.

    Args:
        word: "pause" (save and end, to be resumed), "stop" (end, and keep what was learned) or
            "save". A queued run leaves the queue on "pause" or "stop".

    Raises:
        RunError: there is no such command, no such run, or it is not training.
    """
    if not (run.path / "config.json").is_file():
        raise RunError(f"There is no run in {run.path}.")
    status = run.status()
    if status.state == "queued" and word in ("pause", "stop"):
        with locked(run.path.parent):
            if run.status().state == "queued":
                state = "paused" if word == "pause" else "stopped"
                run.set_status(Status(state, step=status.step))
                return
    if run.status().state not in ACTIVE:
        raise RunError(f"The run {run.id} is not training: it is {run.status().state}.")
    run.command(word)


def kill(run: Run) -> None:
    """Kill the trainer; the run can be resumed from its last snapshot."""
    status = run.status()
    process = process_of(status)
    if process is not None and process.pid != os.getpid():
        with suppress(psutil.Error):
            process.kill()
        deadline = time.monotonic() + KILL_SECONDS
        # Not `wait`: a trainer whose parent never reaps it stays a zombie forever.
        while process_of(status) is not None and time.monotonic() < deadline:
            time.sleep(0.005)

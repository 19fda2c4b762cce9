"""Starting trainers as processes that outlive the one that starts them.

One process may be kept that has loaded torch, so that a run begins at once. On Linux it forks
every run's trainer; elsewhere, where libraries do not bear that, it becomes the next one itself.
It ends when the process that keeps it does, and is replaced when the package's code or the server's
limits have changed. What it does meanwhile is :mod:`trainer.server`, which nothing here imports.
"""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import psutil

CLAIMED = "WORKBENCH_CLAIMED"
"""Set for a trainer that was started for a run: it waits until the run names it."""

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
"""Which of several processes one is: true of the one that starts a trainer, not of the trainer."""

LOG_BYTES = 1_000_000

FORKS = sys.platform == "linux"

NICE = 10
"""Of trainers: the app must answer while they keep every core busy."""

PACKAGE = Path(__file__).parents[1]

Trainer = subprocess.Popen[bytes] | psutil.Process
"""Both have a pid, and can be waited for."""

_lock = threading.Lock()
_ready: "subprocess.Popen[bytes] | None" = None
_loaded: set[tuple[str, str | int]] = set()
"""The :func:`_code_and_limits` that the process kept ready has loaded, or loads."""


def launch(run: Path, threads: int) -> Trainer:
    """A trainer for a run directory: from the process kept ready, which may take the seconds
    that it needs to load, or a new one.

    Args:
        threads: CPU threads it is going to use; 0 where a trial is to choose.
    """
    with _lock:
        pid = _ask_ready_process(run)
    if pid:
        with suppress(psutil.Error):  # it died in between
            return psutil.Process(pid)
    with open_log(run) as log:
        return _spawn(["--run-dir", str(run)], subprocess.DEVNULL, log.fileno(), threads)


def _ask_ready_process(run: Path) -> int:
    """The pid of a trainer for this run, from the process kept ready; 0 if there is none."""
    global _ready
    _dismiss_outdated()
    if _ready is None:
        return 0
    process = _ready
    if not FORKS:
        _ready = None
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(OSError):  # it died in between
        process.stdin.write(os.fsencode(run) + b"\n")
        process.stdin.flush()
        return int(process.stdout.readline() or 0)
    return 0


def keep_one_ready() -> None:
    """See to it that there is a process that has loaded torch, or loads it."""
    global _ready, _loaded
    if not _lock.acquire(blocking=False):
        return  # it is there, and being asked
    try:
        _dismiss_outdated()
        if _ready is None:
            _loaded = _code_and_limits()
            _ready = _spawn(["--wait"], subprocess.PIPE, subprocess.PIPE, 1)
    finally:
        _lock.release()


def has_one_ready() -> bool:
    """Whether this process keeps one."""
    return _ready is not None


def _dismiss_outdated() -> None:
    """Let the process go that has ended, or has loaded other code or limits than there are now."""
    global _ready
    if _ready is not None and (_ready.poll() is not None or _code_and_limits() != _loaded):
        assert _ready.stdin is not None
        with suppress(OSError):
            _ready.stdin.close()
        _ready = None


def _code_and_limits() -> set[tuple[str, str | int]]:
    """The package's files, when each was changed, and the limits in the environment."""
    found: set[tuple[str, str | int]] = {
        variable for variable in os.environ.items() if variable[0].startswith("WORKBENCH_")
    }
    for file in PACKAGE.rglob("*.py"):
        with suppress(OSError):  # an editor may be replacing it
            found.add((str(file), file.stat().st_mtime_ns))
    return found


def open_log(run: Path) -> BinaryIO:
    """Where a trainer's output goes: after what was there, unless that is long already."""
    path = run / "trainer.log"
    long = path.exists() and path.stat().st_size > LOG_BYTES
    return path.open("wb" if long else "ab")


def _spawn(words: list[str], stdin: int, output: int, threads: int) -> "subprocess.Popen[bytes]":
    inherited = {name: os.environ[name] for name in os.environ if name not in TORCHRUN}
    environment = inherited | {
        # Waiting threads that spin made a step ten times slower on busy cores.
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(threads or 1),
        CLAIMED: "1",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "transformer", "train", *words],
        stdin=stdin,
        stdout=output,
        stderr=subprocess.DEVNULL if output == subprocess.PIPE else output,
        env=environment,
        start_new_session=True,
    )

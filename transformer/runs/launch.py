"""Starting trainers as processes that outlive the process that starts them.

One *ready process*, which has already loaded torch, may be kept so that a run begins at once. On
Linux it forks a trainer for each run; elsewhere, where libraries do not survive a fork, it becomes
the next trainer itself. It ends with the process that keeps it, and is replaced when the package's
code or the server's limits change. It runs :mod:`trainer.server`, which nothing here imports.
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
"""Environment variable of a trainer started here: it waits until the run's status has its pid."""

TORCHRUN_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
"""torchrun's environment variables, which identify one process: trainers must not inherit them."""

LOG_BYTES = 1_000_000

FORKS = sys.platform == "linux"

NICE = 10
"""Niceness of trainers: the app must respond while they keep every core busy."""

PACKAGE = Path(__file__).parents[1]

Trainer = subprocess.Popen[bytes] | psutil.Process
"""Both have ``pid`` and ``wait()``."""

_lock = threading.Lock()
_ready: "subprocess.Popen[bytes] | None" = None
_loaded: set[tuple[str, str | int]] = set()
"""The :func:`_code_and_limits` with which the ready process was started."""


def launch(run: Path, threads: int) -> Trainer:
    """Start a trainer for a run directory: from the ready process, once that has loaded, or if
    there is none, as a new process.

    Args:
        threads: CPU threads that the trainer will use; 0 if a trial will choose them.
    """
    with _lock:
        pid = _ask_ready_process(run)
    if pid:
        with suppress(psutil.Error):  # it died in between
            return psutil.Process(pid)
    with open_log(run) as log:
        return _spawn(["--run-dir", str(run)], subprocess.DEVNULL, log.fileno(), threads)


def _ask_ready_process(run: Path) -> int:
    """Let the ready process start a trainer for this run: its pid, or 0 if none is ready."""
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
    """Start a ready process, unless there is one with the present code and limits."""
    global _ready, _loaded
    if not _lock.acquire(blocking=False):
        return  # another thread is using it or starting one
    try:
        _dismiss_outdated()
        if _ready is None:
            _loaded = _code_and_limits()
            _ready = _spawn(["--wait"], subprocess.PIPE, subprocess.PIPE, 1)
    finally:
        _lock.release()


def has_one_ready() -> bool:
    """Whether this process has a ready process, which may still be loading."""
    return _ready is not None


def _dismiss_outdated() -> None:
    """Close the ready process if it has exited, or if code or limits have changed since."""
    global _ready
    if _ready is not None and (_ready.poll() is not None or _code_and_limits() != _loaded):
        assert _ready.stdin is not None
        with suppress(OSError):
            _ready.stdin.close()
        _ready = None


def _code_and_limits() -> set[tuple[str, str | int]]:
    """The package's files with their modification times, and the limits in the environment."""
    found: set[tuple[str, str | int]] = {
        variable for variable in os.environ.items() if variable[0].startswith("WORKBENCH_")
    }
    for file in PACKAGE.rglob("*.py"):
        with suppress(OSError):  # an editor may be replacing it
            found.add((str(file), file.stat().st_mtime_ns))
    return found


def open_log(run: Path) -> BinaryIO:
    """Open the file for a trainer's output: to append, or from the start if it is long already."""
    path = run / "trainer.log"
    long = path.exists() and path.stat().st_size > LOG_BYTES
    return path.open("wb" if long else "ab")


def _spawn(words: list[str], stdin: int, output: int, threads: int) -> "subprocess.Popen[bytes]":
    inherited = {name: os.environ[name] for name in os.environ if name not in TORCHRUN_VARIABLES}
    environment = inherited | {
        # Threads that spin while they wait made a step ten times slower on busy cores.
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

"""Starting trainers as processes that outlive whoever starts them.

One may be kept ready: it has loaded torch and waits, so that the next run begins at once. It
ends by itself when the process that keeps it does.
"""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

CLAIMED = "WORKBENCH_CLAIMED"
"""Set for a trainer that was started for a run: it waits until the run names it."""

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
"""Who of several processes one is: true of whoever starts a trainer, and not of the trainer."""

LOG_BYTES = 1_000_000

_lock = threading.Lock()
_ready: "subprocess.Popen[bytes] | None" = None


def launch(run: Path, threads: int) -> "subprocess.Popen[bytes]":
    """A trainer for a run directory: the one kept ready, or a new one.

    Args:
        threads: CPU threads it is going to use.
    """
    global _ready
    with _lock:
        process, _ready = _ready, None
    if process is not None and process.stdin is not None and process.poll() is None:
        with suppress(OSError):  # it died in between
            process.stdin.write(os.fsencode(run) + b"\n")
            process.stdin.close()
            return process
    with _open_log(run) as log:
        return _spawn(["--run-dir", str(run)], subprocess.DEVNULL, log.fileno(), threads)


def _open_log(run: Path) -> BinaryIO:
    """Where a trainer's output goes: after what was there, unless that is long already."""
    path = run / "trainer.log"
    long = path.exists() and path.stat().st_size > LOG_BYTES
    return path.open("wb" if long else "ab")


def keep_one_ready() -> None:
    """See to it that a trainer waits for the next run."""
    global _ready
    with _lock:
        if _ready is None or _ready.poll() is not None:
            _ready = _spawn(["--wait"], subprocess.PIPE, subprocess.DEVNULL, 1)


def _spawn(words: list[str], stdin: int, output: int, threads: int) -> "subprocess.Popen[bytes]":
    inherited = {name: os.environ[name] for name in os.environ if name not in TORCHRUN}
    environment = inherited | {
        # Waiting threads that spin made a step ten times slower on busy cores.
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(threads),
        CLAIMED: "1",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "transformer", "train", *words],
        stdin=stdin,
        stdout=output,
        stderr=output,
        env=environment,
        start_new_session=True,
    )


def wait_for_run() -> Path | None:
    """In the process that is kept ready: load everything, then wait for a run directory.

    Its output goes where that run's output belongs. None if whoever kept it has ended.
    """
    if os.name == "posix":
        os.nice(10)
    import torch.optim  # noqa: F401  # what the first update would load

    import transformer.trainer  # noqa: F401

    run = os.fsdecode(sys.stdin.buffer.readline().rstrip(b"\n"))
    if not run:
        return None
    with _open_log(Path(run)) as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    return Path(run)

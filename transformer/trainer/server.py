"""The process kept ready to train: it has loaded torch, waits for a run, and becomes its trainer.

:mod:`runs.launch` starts it, as ``python -m transformer train --wait``, and writes the paths of
run directories to it. Nothing here may start a thread: a fork has only one.
"""

import gc
import os
import signal
import sys
from pathlib import Path

from transformer.runs.launch import FORKS, NICE, open_log
from transformer.tasks import TASKS
from transformer.tasks.presets import prepare


def wait_for_run() -> Path | None:
    """In the process that is kept ready: wait for run directories on standard input.

    Returns in a trainer, whose output goes where its run's belongs; or None, if the process that
    kept it has ended.
    """
    if os.name == "posix":
        os.nice(NICE)  # before the seconds that torch takes
    import transformer.trainer.trainer  # noqa: F401

    # What the form is filled in with when the page opens: its first numbers need these pairs.
    task, config = prepare(next(iter(TASKS)))
    task.held_out(config.training.final_examples)
    if FORKS:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
        gc.freeze()  # who collects garbage writes to pages that are shared
    while line := sys.stdin.buffer.readline():
        pid = os.fork() if FORKS else os.getpid()
        if pid:
            print(pid, flush=True)
        if pid in (0, os.getpid()):
            return _become_trainer(Path(os.fsdecode(line.rstrip(b"\n"))))
    return None


def _become_trainer(run: Path) -> Path:
    """Leave the process kept ready for a session, an output and signals of its own."""
    if FORKS:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open_log(run) as log, open(os.devnull, "rb") as nothing:
        for stream, new in ((sys.stdin, nothing), (sys.stdout, log), (sys.stderr, log)):
            os.dup2(new.fileno(), stream.fileno())
    return run

"""The ready process: it has loaded torch, and waits for runs to train or to fork trainers for.

:mod:`runs.launch` starts it, as ``python -m transformer train --wait``, and writes the paths of
run directories to it. Nothing here may start a thread: a forked process has only one.
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
    """Wait for run directories on standard input; called in the ready process.

    Returns the run's directory in its trainer, whose output goes to the run's log; or None once
    the process that keeps the ready process has ended.
    """
    if os.name == "posix":
        os.nice(NICE)  # before the seconds in which torch is imported
    import transformer.trainer.trainer  # noqa: F401

    # The run that the Train page offers first: its first evaluation needs these pairs.
    task, config = prepare(next(iter(TASKS)))
    task.held_out(config.training.final_examples)
    if FORKS:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for the forked trainers
        gc.freeze()  # garbage collection in a fork would write to, and so copy, shared pages
    while line := sys.stdin.buffer.readline():
        pid = os.fork() if FORKS else os.getpid()
        if pid:
            print(pid, flush=True)
        if pid in (0, os.getpid()):
            return _become_trainer(Path(os.fsdecode(line.rstrip(b"\n"))))
    return None


def _become_trainer(run: Path) -> Path:
    """Detach from the ready process: own session and signals, output to the run's log."""
    if FORKS:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open_log(run) as log, open(os.devnull, "rb") as nothing:
        for stream, new in ((sys.stdin, nothing), (sys.stdout, log), (sys.stderr, log)):
            os.dup2(new.fileno(), stream.fileno())
    return run

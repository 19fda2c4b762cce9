"""Acts as one of several servers on one folder of runs: submits runs, stops and deletes any.

    nursery.call("tests.support.competing_server", "main", log, environment(root, seed, runs))

A trainer is a fork of the process that starts it, which has imported torch. Each start adds a line
to the file ``started`` beside the runs: the run, its ticket, and how many were active already.
"""

import os
import random
import time
from pathlib import Path

from tests.support.trainers import spare_overfit_check, tiny
from transformer.errors import RunError
from transformer.runs import launch, queue, trash
from transformer.runs.directory import ACTIVE, Run, runs_in

STARTED = "started"
SLOTS = 2
PATIENCE = 60.0
"""Seconds after which it gives up if no run ends."""


def environment(root: Path, seed: int, runs: int) -> dict[str, str]:
    return {
        "COMPETING_SERVER": f"{seed} {runs} {root}",
        "WORKBENCH_TRAINERS": str(SLOTS),
        "WORKBENCH_CLAIMED": "1",
    }


class Forked:
    """A trainer that this process forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _fork(path: Path, threads: int) -> Forked:
    run = Run(path)
    spare_overfit_check(run)
    pid = os.fork()
    if pid:
        return Forked(pid)
    code = 1
    try:
        os.setsid()
        with launch.open_log(path) as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        from transformer import __main__ as command_line

        code = command_line.main(["train", "--run-dir", str(path)])
    finally:
        os._exit(code)


_start = queue.start


def _noted_start(run: Run) -> None:
    root = run.path.parent
    busy = sum(one.status().state in ACTIVE for one in runs_in(root))
    with (root / STARTED).open("a") as file:
        file.write(f"{run.id} {run.status().ticket} {busy}\n")
    _start(run)


def main() -> None:
    seed, runs, root = os.environ["COMPETING_SERVER"].split(maxsplit=2)
    folder, chance = Path(root), random.Random(int(seed))
    launch.launch, queue.start = _fork, _noted_start  # type: ignore[assignment]
    for _ in range(int(runs)):
        print(queue.submit(tiny(steps=4, eval_every=2, final_examples=4), root=folder).id)
        word = chance.choice(("stop", "pause", "delete", ""))
        found = runs_in(folder)
        if word and found:
            try:
                victim = chance.choice(found)
                if word == "delete":
                    trash.delete(victim)
                else:
                    queue.command(victim, word)
            except RunError as error:  # the other server was faster, or the run has ended
                print(f"# {error}")
        time.sleep(chance.uniform(0, 0.05))
    before, end = -1, 0.0
    while before:
        left = sum(run.status().state in ("queued", *ACTIVE) for run in runs_in(folder))
        if left != before:
            before, end = left, time.monotonic() + PATIENCE
        elif time.monotonic() > end:
            return
        queue.poll(folder)
        time.sleep(0.05)

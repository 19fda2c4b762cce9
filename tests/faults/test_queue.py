"""Thirty submitted runs, two trainers, a killed app: the queue is stored on the disk alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.places import ROOT
from tests.support.trainers import ended, trainers, trains, wait_for
from transformer.errors import RunError
from transformer.runs import queue as run_queue
from transformer.runs import trash
from transformer.runs.directory import ACTIVE, Run, runs_in
from transformer.runs.resume import resume

SLOTS = {"WORKBENCH_TRAINERS": "2"}
APP = """
import sys, time
from pathlib import Path
from transformer.runs.queue import poll
print("looks", flush=True)
while True:
    poll(Path(sys.argv[1]))
    time.sleep(0.05)
"""


def active(root: Path) -> list[Run]:
    return [run for run in runs_in(root) if run.status().state in ACTIVE]


def as_a_new_process_sees(root: Path) -> list[dict[str, object]]:
    """The list of runs as the command line reads it from the disk."""
    done = subprocess.run(
        [sys.executable, "-m", "transformer", "runs", str(root), "--json"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    keys = ("run", "state", "ticket")
    return sorted(
        ({key: run[key] for key in keys} for run in runs), key=lambda run: str(run["run"])
    )


def test_thirty_ask_and_two_train(
    nursery: Nursery, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_TRAINERS", "2")
    root.mkdir()
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(root)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | SLOTS,
    )
    assert app.stdout is not None
    app.stdout.readline()

    # All thirty at once: no run is lost or doubled, and the rest wait in order.
    asking = [nursery.submit(root, tmp_path / f"{i}.log", SLOTS) for i in range(30)]
    codes = [child.wait() for child in asking]
    assert codes == [0] * 30, "".join(child.output() for child in asking)
    ids = {child.output().strip() for child in asking}
    assert len(ids) == 30
    assert {run.id for run in runs_in(root)} == ids
    wait_for(lambda: len(active(root)) == 2, "two trainers")
    queue = run_queue.waiting(root)
    assert len(queue) == 28
    tickets = [run.status().ticket for run in queue]
    assert tickets == sorted(set(tickets))
    assert len(trainers(root)) <= 2

    # The app's process group is killed while two runs train and the others wait.
    first, second = active(root)
    wait_for(lambda: trains(first) and trains(second), "both to train")
    before = as_a_new_process_sees(root)
    os.killpg(app.pid, signal.SIGKILL)
    app.wait()
    app.stdout.close()
    assert as_a_new_process_sees(root) == before
    assert [run.id for run in run_queue.waiting(root)] == [run.id for run in queue]
    step = first.last_step()
    wait_for(lambda: first.last_step() > step, "training to go on")

    # A trainer that ends starts the next run, without the app. `advance` may not be called here:
    # it would start the next run.
    run_queue.command(first, "stop")
    ended(first, "stopped")
    wait_for(lambda: queue[0].status().state in ACTIVE, "the next one to start")
    assert [run.id for run in run_queue.waiting(root)] == [run.id for run in queue[1:]]
    assert {run.id for run in active(root)} == {second.id, queue[0].id}

    # A training run is deleted: its trainer ends at once, and the next run starts.
    pid = second.status().pid
    trash.delete(second)
    wait_for(lambda: pid not in {process.pid for process in trainers(root)}, "its end")
    wait_for(lambda: queue[1].status().state in ACTIVE, "the next one to start")
    assert [run.id for run in trash.deleted_runs(root)] == [second.id]
    assert not second.path.exists()
    # Restored, it stays interrupted until it is resumed; then it is queued.
    back = trash.restore(second.id, root)
    assert back.status().state == "interrupted"
    resume(back)
    assert back.status().state == "queued"
    assert run_queue.waiting(root)[-1].id == back.id
    with pytest.raises(RunError, match="queued"):
        resume(back)

    # A waiting run is deleted: restored, it does not start by itself.
    trash.delete(queue[2])
    assert trash.restore(queue[2].id, root).status().state == "paused"
    assert len(run_queue.waiting(root)) == 26
    assert len(active(root)) == 2

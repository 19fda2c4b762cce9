"""Real trainer processes for tests: start small runs, wait for them, and compare their files."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.places import ROOT
from transformer.checkpoint import Checkpoint
from transformer.config import RunConfig
from transformer.runs import queue
from transformer.runs.directory import ACTIVE, Run, Status
from transformer.runs.goals import OverfitCheck, add_evidence, read_goals
from transformer.tasks.presets import prepare

PATIENCE = 120
"""Seconds before a test gives up on a process; on a busy machine importing torch takes many."""
OFTEN = {"WORKBENCH_SNAPSHOT_SECONDS": "0"}
"""An environment in which a trainer saves after every update."""


def tiny(**training: Any) -> RunConfig:
    """The task ``reverse``, with a model so small that an update takes a millisecond or two."""
    model = {"d_model": 16, "num_heads": 2, "d_ff": 16, "dropout": 0.1, "max_length": 8}
    defaults = {
        "steps": 1_000_000,
        "batch_size": 4,
        "eval_every": 100,
        "eval_examples": 8,
        "final_examples": 12,
        "threads": 1,
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "precision": "fp32",  # else a timing decides, which can differ between two runs
    }
    config = prepare(
        "reverse", "tiny", data={"max_letters": 4}, model=model, training=defaults | training
    )
    return config[1]


def spare_overfit_check(run: Run) -> None:
    """Write a finished overfit check, so that the trainer skips its own, which takes longest."""
    if (run.path / "config.json").exists() and not (run.path / "goals.json").exists():
        made = OverfitCheck(8, 8, [[0, 4.5], [40, 0.009]], 0.009, 40, 1.2)
        add_evidence(run.path, "twin", made.to_dict())


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Poll until the condition is true, and return its value."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


def ended(run: Run, state: str) -> Status:
    """Wait for the run's end; fail with its log if it ends in another state than ``state``."""
    wait_for(lambda: run.status().state not in ("queued", *ACTIVE), f"{run.path} to end")
    assert run.status().state == state, f"{run.status()}\n{run.log_tail()}"
    return run.status()


def trains(run: Run) -> bool:
    """Whether the trainer has recorded updates."""
    return any(record.kind == "train" for record in run.metrics())


def trainers(path: Path) -> list[psutil.Process]:
    """The running trainers of the runs under a path, whichever process started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if process.status() != psutil.STATUS_ZOMBIE and "train" in words:
                found += [process] * any(word.startswith(str(path)) for word in words)
    return found


@contextmanager
def no_trainer_left(path: Path) -> Iterator[None]:
    """No trainer of the runs under a path outlives the block."""
    try:
        yield
    finally:
        end_runs(path)


def end_runs(path: Path) -> None:
    """End all runs under a path: their queue would go on after the app and the test have ended."""
    found = [Run(file.parent) for file in path.rglob("status.json")]
    for run in found:  # queued ones first, or the end of a run would start the next
        if run.recorded_status().state == "queued":
            run.set_status(Status("stopped"))
    for run in found:
        queue.kill(run)
    for process in trainers(path):  # those that are in no status.json
        process.kill()


def spawn(
    run: Run, environment: Mapping[str, str] = OFTEN, *words: str
) -> "subprocess.Popen[bytes]":
    """Start a trainer as from a terminal: it makes a new run or resumes one."""
    command = [sys.executable, "-m", "transformer", "train", "--run-dir", str(run.path), *words]
    with (run.path / "trainer.log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env=os.environ | dict(environment),
        )


def written(run: Run) -> dict[str, list[dict[str, Any]]]:
    """All metrics and samples of a run, without times, which differ between runs."""
    lines = {}
    for name in ("metrics.jsonl", "samples.jsonl"):
        content = (run.path / name).read_text("utf-8").splitlines()
        lines[name] = [
            {key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in content
        ]
    return lines


def assert_same_run(run: Run, unbroken: Run) -> None:
    """Metrics, samples, attention, overfit check and final weights are equal bit for bit."""
    recorded = [(one.path / "attention.bin").read_bytes() for one in (run, unbroken)]
    assert recorded[0] == recorded[1]
    mine, other = (read_goals(one.path).overfit for one in (run, unbroken))
    assert mine is not None
    assert other is not None
    if mine.cut_short or other.cut_short:  # by a stalled machine: compare as far as both got
        far = min(mine.steps, other.steps)
        curves = [[point for point in check.curve if point[0] < far] for check in (mine, other)]
        assert curves[0] == curves[1]
    else:
        assert mine.curve == other.curve
    for name, lines in written(unbroken).items():
        assert written(run)[name] == lines, name
    tensors, others = (Checkpoint.load(one.checkpoints()[-1]).tensors for one in (run, unbroken))
    assert tensors.keys() == others.keys()
    for name, weights in others.items():
        assert tensors[name].equal(weights), name

"""Trainers that run out of memory, or whose numbers are no longer finite."""

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.checkpoint_files import summary_of
from tests.support.nursery import Nursery
from tests.support.trainers import OFTEN, ended, tiny, trains, wait_for
from transformer.checkpoint import Checkpoint
from transformer.config import RunConfig
from transformer.runs import launch, queue
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.resume import resume, train_on
from transformer.trainer.failures import diagnosis


def large(**training: int) -> RunConfig:
    """Settings of a small model with batches that take most of a GB."""
    small = tiny(batch_size=6_000, **training)
    model = small.model.replace(d_model=64, d_ff=8192)
    return type(small)(small.preset, small.data, model, small.training)


def assert_out_of_memory(run: Run) -> None:
    status = run.status()
    assert (status.state, status.kind) == ("failed", "memory"), f"{status}\n{run.log_tail()}"
    assert "smaller batch" in status.reason
    assert "\n" not in status.reason


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all memory on Linux only")
def test_a_run_beyond_its_memory_fails_and_goes_on_with_more(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_MEMORY_MB", "600")
    run = queue.submit(large(steps=1), root=root)
    ended(run, "failed")
    assert_out_of_memory(run)
    first = [path.name for path in run.checkpoints()]
    assert first == ["step-0.safetensors"]
    monkeypatch.setenv("WORKBENCH_MEMORY_MB", "6000")
    resume(run)
    assert ended(run, "finished").step == 1
    assert "Going on from step 0." in run.log_tail()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA out of memory."),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_every_error_that_means_too_little_memory_is_told_as_that(error: Exception) -> None:
    assert diagnosis(error)[1] == "memory"


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all memory on Linux only")
@pytest.mark.parametrize("megabytes", [10, 300])
def test_whatever_the_limit_the_reason_is_told(
    megabytes: int, nursery: Nursery, root: Path
) -> None:
    """Also checks a limit below what PyTorch itself takes."""
    run = create_run(large(steps=1), root=root)
    limits = {"WORKBENCH_MEMORY_MB": str(megabytes), launch.CLAIMED: "1"}
    child = nursery.train(run, environment=limits)
    queue.claim(run, child.pid)
    assert child.wait() == 1
    assert_out_of_memory(run)


def test_a_trainer_killed_for_the_memory_of_the_machine_can_go_on(
    nursery: Nursery, root: Path
) -> None:
    run = create_run(tiny(), root=root)
    child = nursery.train(run)
    wait_for(lambda: trains(run), "metrics")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    status = run.status()
    assert status.state == "interrupted"
    assert "Resume" in status.reason
    child = nursery.train(run)
    wait_for(lambda: run.last_step() > status.step, "the run to go on")
    queue.command(run, "stop")
    assert child.wait() == 0
    assert run.status().state == "stopped"


def test_a_diverged_run_keeps_its_last_good_model_and_is_trained_on_more_slowly(
    nursery: Nursery, root: Path
) -> None:
    """With β₂ = 0, the momentum of what a batch lacks is divided by a tiny ε alone.

    Times a rate of 10 it overflows 32 bits; times a tiny rate it is harmless.
    """
    run = create_run(
        tiny(steps=50, learning_rate=10.0, warmup_steps=0, adam_beta2=0.0, adam_eps=1e-30),
        root=root,
    )
    assert nursery.train(run, environment=OFTEN).wait() == 1
    status = run.status()
    assert status.state == "diverged", run.log_tail()
    assert "learning rate" in status.reason
    assert "Traceback" not in run.log_tail()
    assert all((record.loss or 0.0) < float("inf") for record in run.metrics())
    last = [Checkpoint.load(path) for path in run.checkpoints()][-1]
    assert summary_of(last).steps < 50

    slower = train_on(run, 5, learning_rate=1e-29)
    assert slower.status().state == "paused"
    assert slower.about()["parent"] == run.id
    assert nursery.train(slower).wait() == 0, slower.log_tail()
    assert slower.status().step == summary_of(last).steps + 5
    assert summary_of(Checkpoint.load(slower.checkpoints()[-1])).steps == summary_of(last).steps + 5
    assert run.status() == status

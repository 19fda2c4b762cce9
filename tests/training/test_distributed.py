"""Several processes, started as by torchrun, train as one and resume bit for bit."""

import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from tests.support.nursery import Nursery
from tests.support.places import ROOT
from tests.support.small_training import fresh, made
from tests.support.trainers import (
    OFTEN,
    PATIENCE,
    assert_same_run,
    ended,
    no_trainer_left,
    tiny,
    trains,
    wait_for,
)
from transformer.checkpoint import Checkpoint
from transformer.config import RunConfig
from transformer.errors import ConfigError
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.queue import start
from transformer.runs.snapshots import snapshots
from transformer.training.distributed import World, join
from transformer.training.loop import Training, Update

STEPS = 20
LONG = (("fp32", "adam"), ("fp32", "muon"), ("bf16", "adam"))
TRAIN = ("-m", "transformer", "train")


def config(dropout: float = 0.1, precision: str = "fp32", optimizer: str = "adam") -> RunConfig:
    """Settings with batches of 7 pairs, which two processes share as 4 and 3."""
    chosen = {"precision": precision, "optimizer": optimizer}
    made = tiny(steps=STEPS, batch_size=7, eval_every=5, **chosen)
    return replace(made, model=made.model.replace(dropout=dropout))


def torchrun_variables() -> dict[str, str]:
    """The variables that torchrun sets for both of two processes.

    The port is outside the range that the system assigns from: until the trainers listen on
    it, another test could be assigned it.
    """
    port = 20_000 + os.getpid() % 10_000
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("localhost", port))
            return {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        port += 1


class Together:
    """Two trainers with the variables that torchrun sets, but without its seconds to start."""

    def __init__(self, nursery: Nursery, run: Run, **environment: str) -> None:
        shared = torchrun_variables() | environment
        self.processes = [
            nursery.train(run, environment=shared | {"RANK": rank, "LOCAL_RANK": rank})
            for rank in ("0", "1")
        ]

    def wait(self) -> list[int]:
        return [process.wait() for process in self.processes]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with no_trainer_left(tmp_path):
        yield tmp_path / "runs"


def losses(run: Run, kind: str) -> list[float]:
    return [r.loss for r in run.metrics() if r.kind == kind and r.loss is not None]


def test_torchrun_has_the_losses_of_one_process(root: Path, nursery: Nursery) -> None:
    one, two = (create_run(config(dropout=0.0), root=root) for _ in range(2))
    assert nursery.train(one, environment={}).wait() == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*command, "--nproc-per-node", "2", *TRAIN, "--json", "--run-dir", str(two.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"state": "finished"') == 1  # only the main process prints
    for kind, count in (("train", STEPS), ("eval", STEPS // 5 + 1)):
        assert len(losses(one, kind)) == count
        assert losses(two, kind) == pytest.approx(losses(one, kind), abs=1e-5)
    # Only the main process writes, so no step is there twice.
    steps = [record.step for record in two.metrics() if record.kind == "train"]
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.parametrize(
    ("precision", "optimizer"),
    [("bf16", "muon"), *(pytest.param(*one, marks=pytest.mark.long) for one in LONG)],
)
def test_two_processes_resume_bit_for_bit(
    precision: str, optimizer: str, root: Path, nursery: Nursery
) -> None:
    """With dropout, so that each process must restore its own random state."""
    made = config(precision=precision, optimizer=optimizer)
    unbroken, broken = (create_run(made, root=root) for _ in range(2))
    assert Together(nursery, unbroken).wait() == [0, 0]
    together = Together(nursery, broken, **OFTEN)
    wait_for(lambda: len(snapshots(broken.path / "checkpoints")) > 2, "snapshots past the first")
    broken.command("pause")
    assert together.wait() == [0, 0], broken.log_tail()
    ended(broken, "paused")
    assert 0 < broken.last_step() < STEPS
    assert Together(nursery, broken).wait() == [0, 0], broken.log_tail()
    assert_same_run(broken, unbroken)
    summary = Checkpoint.load(broken.checkpoints()[-1]).summary
    assert summary is not None
    assert summary.training["precision"] == precision


def settle() -> None:
    """Train in one of two processes, and print the precision and the losses."""
    with join() as world:
        # As if a trial had found bfloat16 faster in one process and slower in the other.
        task, config = made(precision=("bf16", "fp32")[world.rank])
        training = Training(fresh(config), task, config.training, world)
        losses = [event.loss for event in training.events() if isinstance(event, Update)]
        # A leftover wrapper could deadlock when the process ends: see Training.events.
        assert not [one for one in gc.get_objects() if type(one) is DistributedDataParallel]
        print(training.precision, losses, flush=True)


def test_all_processes_train_in_what_the_main_process_found(
    tmp_path: Path, nursery: Nursery
) -> None:
    shared = torchrun_variables()
    processes = [
        nursery.call(
            *(__name__, "settle"), tmp_path / rank, shared | {"RANK": rank, "LOCAL_RANK": rank}
        )
        for rank in ("0", "1")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    # A backend may print to the same output.
    said = [process.output().splitlines()[-1] for process in processes]
    assert said[0] == said[1]
    assert said[0].startswith("bf16 [")


def test_a_stop_reaches_all_processes(root: Path, nursery: Nursery) -> None:
    run = create_run(tiny(), root=root)
    together = Together(nursery, run)
    wait_for(lambda: trains(run), "metrics")
    run.command("stop")
    assert together.wait() == [0, 0], run.log_tail()
    ended(run, "stopped")


def test_a_signal_to_all_processes_saves_first(root: Path, nursery: Nursery) -> None:
    """torchrun forwards the SIGTERM that a cluster sends before it takes the machines away."""
    run = create_run(tiny(), root=root)
    together = Together(nursery, run)
    wait_for(lambda: trains(run), "metrics")
    for process in reversed(together.processes):
        os.kill(process.pid, signal.SIGTERM)
    assert together.wait() == [0, 0], run.log_tail()
    assert snapshots(run.path / "checkpoints")[-1].step == ended(run, "paused").step > 0


def test_a_trainer_started_by_one_of_several_is_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a run under torchrun ends, its main process starts the next queued run."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    run = create_run(tiny(steps=1), root=root)
    start(run)
    ended(run, "finished")


no_card = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")


def test_a_run_may_name_its_device() -> None:
    card = World(device=torch.device("cuda", 0))
    assert card.on("auto") == card.on("cuda") == card
    assert card.on("cpu") == World(device=torch.device("cpu"))
    assert World().on("auto") == World().on("cpu") == World()
    with pytest.raises(ConfigError, match="no CUDA graphics card"):
        World().on("cuda")


@no_card
def test_a_card_that_is_not_there_is_named(root: Path, nursery: Nursery) -> None:
    run = create_run(tiny(steps=2, device="cuda"), root=root)
    assert nursery.train(run).wait() == 1
    assert "no CUDA graphics card" in ended(run, "failed").reason
    assert "Traceback" not in run.log_tail()


@no_card
def test_a_card_that_is_not_there_ends_all(root: Path, nursery: Nursery) -> None:
    run = create_run(tiny(steps=2, device="cuda"), root=root)
    assert Together(nursery, run).wait() == [1, 1], run.log_tail()
    assert "no CUDA graphics card" in ended(run, "failed").reason
    assert "Traceback" not in run.log_tail()


def test_what_the_main_process_cannot_open_ends_all(tmp_path: Path, nursery: Nursery) -> None:
    run = Run(tmp_path / "none")
    run.path.mkdir()
    assert Together(nursery, run).wait() == [1, 1]
    assert run.log_tail().count("error: Nothing to train") == 1
    assert "Traceback" not in run.log_tail()

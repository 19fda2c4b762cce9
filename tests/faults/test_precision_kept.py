"""A bfloat16 run resumes in bfloat16, even if the file that records this is lost or wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.trainers import assert_same_run, tiny, wait_for
from transformer.checkpoint import Checkpoint
from transformer.runs import queue
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.resume import train_on
from transformer.training import compute
from transformer.training.compute import Compute

BEGAN = Compute("cpu", "bf16", "as the run began")


@pytest.fixture(scope="module")
def runs(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two runs with the same settings: one trained to the end, one paused."""
    config = tiny(steps=30, eval_every=10, precision="bf16")
    root = tmp_path_factory.mktemp("runs")
    unbroken, paused = (create_run(config, root=root) for _ in range(2))
    assert nursery.train(unbroken, environment={}).wait() == 0, unbroken.log_tail()
    child = nursery.train(paused)
    wait_for(lambda: paused.last_step() >= 2, "updates")
    queue.command(paused, "pause")
    assert child.wait() == 0
    assert paused.status().state == "paused"
    return unbroken, paused


def lose(path: Path) -> None:
    path.unlink()


def damage(path: Path) -> None:
    path.write_bytes(b"\xfb" + path.read_bytes()[:20])


def say_otherwise(path: Path) -> None:
    compute.write(path.parent, Compute("cpu", "fp32", "a person wrote so"))


@pytest.mark.parametrize(
    "fault", [*(pytest.param(one, marks=pytest.mark.long) for one in (lose, say_otherwise)), damage]
)
def test_a_run_goes_on_as_it_began(
    fault: Callable[[Path], None], runs: tuple[Run, Run], nursery: Nursery, tmp_path: Path
) -> None:
    unbroken, paused = runs
    run = Run(shutil.copytree(paused.path, tmp_path / "run"))
    fault(run.path / compute.FILE)
    assert nursery.train(run, environment={}).wait() == 0, run.log_tail()
    assert_same_run(run, unbroken)
    assert compute.read(run.path) == BEGAN


def test_it_goes_on_as_it_began_though_its_settings_say_otherwise(
    runs: tuple[Run, Run], nursery: Nursery, tmp_path: Path
) -> None:
    """The settings say auto, so a new trial could decide otherwise."""
    unbroken, paused = runs
    run = Run(shutil.copytree(paused.path, tmp_path / "run"))
    plain = run.config().to_dict()
    plain["training"]["precision"] = "auto"
    (run.path / "config.json").write_text(json.dumps(plain))
    assert nursery.train(run, environment={}).wait() == 0, run.log_tail()
    assert_same_run(run, unbroken)
    assert compute.read(run.path) == compute.read(unbroken.path)


def test_a_run_that_is_trained_on_keeps_its_precision(
    runs: tuple[Run, Run], nursery: Nursery, tmp_path: Path
) -> None:
    longer = train_on(runs[0], 3, path=tmp_path / "longer")
    assert nursery.train(longer, environment={}).wait() == 0, longer.log_tail()
    known = compute.read(longer.path)
    assert known is not None
    assert known == compute.read(runs[0].path)
    assert known.precision == "bf16"
    summary = Checkpoint.load(longer.checkpoints()[-1]).summary
    assert summary is not None
    assert (summary.training["precision"], summary.training["device"]) == ("bf16", "cpu")

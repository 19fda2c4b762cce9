"""A flipped bit: the damage is detected, and the run resumes from the snapshot before."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.support.nursery import Nursery
from tests.support.trainers import OFTEN, assert_same_run, wait_for, written
from transformer.config import RunConfig
from transformer.runs import queue
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.goals import read_goals
from transformer.runs.resume import newest_intact_snapshot
from transformer.runs.snapshots import snapshots


@pytest.fixture(scope="module")
def paused(config: RunConfig, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was paused between its sixth update and its last."""
    run = create_run(config, root=tmp_path_factory.mktemp("paused"))
    child = nursery.train(run)
    wait_for(lambda: run.last_step() >= 6, "updates")
    queue.command(run, "pause")
    assert child.wait() == 0
    assert run.status().state == "paused"
    return run


@pytest.fixture
def run(paused: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(paused.path, tmp_path / "run")))


def flip(path: Path, random: Random, start: int = 0) -> None:
    """Flip one random bit of a file, in byte ``start`` or later."""
    content = bytearray(path.read_bytes())
    content[random.randrange(start, len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def newest(run: Run, suffix: str, back: int = 1) -> Path:
    folder = run.path / "checkpoints"
    return folder / f"step-{snapshots(folder)[-back].step}{suffix}"


@pytest.mark.parametrize("suffix", [".safetensors", ".state.safetensors", ".json"])
def test_the_snapshot_before_is_taken(
    suffix: str, run: Run, unbroken: Run, nursery: Nursery
) -> None:
    before = snapshots(run.path / "checkpoints")[-2]
    flip(newest(run, suffix), Random(suffix))
    assert newest_intact_snapshot(run.path) == before
    assert nursery.train(run).wait() == 0
    assert f"Going on from step {before.step}." in run.log_tail()
    assert_same_run(run, unbroken)


@pytest.mark.parametrize("suffix", [".safetensors", ".state.safetensors", ".json"])
def test_no_flipped_bit_goes_unnoticed(suffix: str, run: Run) -> None:
    """Bits at both ends of the file and in 200 random bytes are flipped, one at a time."""
    path, before = newest(run, suffix), snapshots(run.path / "checkpoints")[-2]
    content, random = path.read_bytes(), Random(suffix)
    for place in (0, 7, 8, len(content) - 1, *(random.randrange(len(content)) for _ in range(200))):
        damaged = bytearray(content)
        damaged[place] ^= 1 << random.randrange(8)
        path.write_bytes(damaged)
        assert newest_intact_snapshot(run.path) == before, f"byte {place}"


def test_what_the_run_wrote_last_is_checked_too(run: Run, unbroken: Run, nursery: Nursery) -> None:
    name = "metrics.jsonl"
    before, _ = snapshots(run.path / "checkpoints")[-2:]
    flip(run.path / name, Random(name), before.lengths[name])
    assert newest_intact_snapshot(run.path) == before
    assert nursery.train(run).wait() == 0
    assert_same_run(run, unbroken)


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl"])
def test_history_that_lost_its_end_costs_no_more_than_that(
    name: str, run: Run, unbroken: Run, nursery: Nursery
) -> None:
    first, *_ = (run.path / name).read_bytes().splitlines(keepends=True)
    (run.path / name).write_bytes(first + b'{"step": 1, "lo')
    assert nursery.train(run).wait() == 0
    lines, expected = written(run)[name], written(unbroken)[name]
    assert lines[0] == expected[0]
    assert lines[1:] == expected[1 - len(lines) :]
    assert lines[-1]["step"] == 12


def test_old_damage_to_the_metrics_costs_a_point_and_no_more(
    run: Run, unbroken: Run, nursery: Nursery
) -> None:
    content = (run.path / "metrics.jsonl").read_bytes()
    third = content.index(b"\n", content.index(b"\n") + 1) + 1
    (run.path / "metrics.jsonl").write_bytes(content[:third] + b"\xff" + content[third + 1 :])
    assert nursery.train(run).wait() == 0
    lines = [replace(record, seconds=None) for record in run.metrics()]
    expected = [replace(record, seconds=None) for record in unbroken.metrics()]
    assert lines == expected[:2] + expected[3:]


def contents(run: Run) -> dict[str, str]:
    """Checksums of a run's files except its status, log and lock."""
    return {
        str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and path.name not in ("status.json", "trainer.log", "run.lock")
    }


@pytest.mark.parametrize("suffix", [".safetensors", ".state.safetensors", ".json"])
def test_when_every_snapshot_is_damaged_nothing_is_destroyed(
    suffix: str, run: Run, nursery: Nursery
) -> None:
    random = Random(suffix)
    for path in (run.path / "checkpoints").glob("step-*"):
        if path.name.removeprefix("step-").lstrip("0123456789") == suffix:
            flip(path, random)
    before = contents(run)
    assert nursery.train(run).wait() == 1
    status = run.status()
    assert (status.state, status.kind) == ("failed", "data")
    assert "same seed" in status.reason
    assert "Traceback" not in run.log_tail()
    assert contents(run) == before


@pytest.mark.parametrize("name", ["status.json", "goals.json", "about.json", "arithmetic.json"])
def test_damage_to_an_optional_file_does_not_stop_a_run(
    name: str, run: Run, unbroken: Run, nursery: Nursery
) -> None:
    path = run.path / name
    path.write_bytes(path.read_bytes().replace(b"{", b"\xfb", 1))
    assert nursery.train(run, environment=OFTEN).wait() == 0
    assert run.status().state == "finished"
    assert isinstance(json.loads((run.path / "status.json").read_bytes()), dict)
    if name == "goals.json":  # the unbroken run skips the overfit check, this one makes it
        overfit = read_goals(run.path).overfit
        assert overfit is not None
        assert overfit.curve
        shutil.copy(unbroken.path / name, path)
    assert_same_run(run, unbroken)

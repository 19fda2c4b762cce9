"""A full disk: the run fails with advice, keeps its snapshots, and can be resumed later."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.trainers import assert_same_run, spare_overfit_check
from transformer.config import RunConfig
from transformer.files import write_over
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.resume import newest_intact_snapshot

PAGE = 4096
CAN_MOUNT = sys.platform == "linux" and os.geteuid() == 0


def sizes(run: Run) -> dict[str, int]:
    """Bytes of the weights and the state of a run's last snapshot."""
    folder = run.path / "checkpoints"
    last = run.config().training.steps
    return {
        "weights": (folder / f"step-{last}.safetensors").stat().st_size,
        "state": (folder / f"step-{last}.state.safetensors").stat().st_size,
    }


def assert_failed_for_the_disk(run: Run, at_least: int) -> None:
    status = run.status()
    assert (status.state, status.kind) == ("failed", "disk"), f"{status}\n{run.log_tail()}"
    assert "space" in status.reason
    assert "resume" in status.reason
    assert "\n" not in status.reason
    made = newest_intact_snapshot(run.path)
    assert (made.step if made else -1) >= at_least


# The limit on a file's bytes, and the last step saved under it (-1: none).
LIMITS = {
    "the baseline's metrics": (300, -1),
    "its samples": (700, -1),
    "the first weights": (PAGE, -1),
    "a later state": (0, 0),
}


@pytest.mark.parametrize(
    "point",
    [pytest.param(name, marks=[pytest.mark.long] * (n % 2 == 0)) for n, name in enumerate(LIMITS)],
)
def test_a_file_that_may_not_grow(
    point: str, config: RunConfig, unbroken: Run, nursery: Nursery, root: Path
) -> None:
    limit, saved = LIMITS[point]
    if not limit:  # Adam's state of every weight is twice as large as the weights
        limit = sizes(unbroken)["weights"] + PAGE
    run = create_run(config, root=root)
    assert nursery.train(run, file_bytes=limit).wait() == 1
    assert_failed_for_the_disk(run, saved)
    assert nursery.train(run, environment={}).wait() == 0
    assert_same_run(run, unbroken)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MB."""
    if not CAN_MOUNT:
        pytest.skip("only root can mount a small disk")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill a disk except ``leave`` pages; returns the file to delete afterwards."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail
    filler.write_bytes(bytes(PAGE * (free - leave)))
    assert os.statvfs(disk).f_bavail == leave
    return filler


# Free pages: a number, and multiples of the weights' and the state's; the last step saved.
ROOM = {
    "the status": (0, 0, 0, -1),
    "the baseline's samples": (1, 0, 0, -1),
    "the first weights": (5, 0, 0, -1),
    "the first manifest": (4, 1, 0, -1),
    "a later state": (8, 2, 0, 0),
    "a later manifest": (10, 3, 2, 0),
}


@pytest.mark.parametrize(
    "point", [pytest.param(name, marks=[pytest.mark.long] * (n % 2)) for n, name in enumerate(ROOM)]
)
def test_a_full_disk(
    point: str, config: RunConfig, unbroken: Run, nursery: Nursery, disk: Path
) -> None:
    pages, weights, states, saved = ROOM[point]
    for name, times in (("weights", weights), ("state", states)):
        pages += times * -(-sizes(unbroken)[name] // PAGE)
    run = create_run(config, root=disk / "runs")
    spare_overfit_check(run)
    (run.path / "trainer.log").write_text("A log that has a page already.\n")
    (run.path / "run.lock").touch()
    filler = fill(disk, pages)
    assert nursery.train(run).wait() == 1
    assert_failed_for_the_disk(run, saved)
    filler.unlink()
    assert nursery.train(run, environment={}).wait() == 0
    assert_same_run(run, unbroken)


def test_readers_never_see_half_a_status_overwritten_in_place(
    config: RunConfig, root: Path
) -> None:
    """On a full disk a status is overwritten in place; no reader sees half of it."""
    run = create_run(config, root=root)
    file = run.path / "status.json"
    words = [json.dumps({"state": "failed", "reason": "x" * length}) for length in (400, 3, 150)]
    file.write_text(words[0])
    end = threading.Event()

    def write() -> None:
        while not end.is_set():
            for word in words:
                write_over(file, word.encode())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3000):
            assert run.recorded_status().state == "failed"
    finally:
        end.set()
        writer.join()

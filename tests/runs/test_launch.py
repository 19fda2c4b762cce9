"""The ready process: every trainer is forked from it, and outlives it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.trainers import ended, no_trainer_left, tiny, trains, wait_for
from transformer.runs import launch, queue
from transformer.runs.directory import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there it forks")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with no_trainer_left(tmp_path):
        yield tmp_path
    if launch._ready is not None:
        launch._ready.kill()
        launch._ready.wait()
    launch._ready = None


def kept() -> psutil.Process:
    launch.keep_one_ready()
    assert launch._ready is not None
    return psutil.Process(launch._ready.pid)


def begun(root: Path) -> tuple[Run, psutil.Process]:
    """A run that is training, and its trainer's process."""
    run = queue.submit(tiny(), root=root)
    wait_for(lambda: trains(run), "updates")
    return run, psutil.Process(run.status().pid)


def test_it_forks_a_trainer_for_every_run_and_they_outlive_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_SLOTS", "2")
    ready = kept()
    (first, one), (second, other) = begun(root), begun(root)
    assert one.pid != other.pid
    for process in (one, other):
        assert process.ppid() == ready.pid
        assert os.getsid(process.pid) == process.pid
        assert process.nice() >= 10
    assert ready.num_threads() == 1  # a fork would wait for ever for locks of other threads
    assert kept().pid == ready.pid

    first.command("stop")
    ended(first, "stopped")
    wait_for(lambda: not one.is_running(), "the fork to be gone, with nobody who waits for it")
    assert launch._ready is not None
    assert launch._ready.stdin is not None
    launch._ready.stdin.close()
    launch._ready.wait(30)
    steps = second.last_step()
    second.command("stop")
    assert ended(second, "stopped").step > steps
    assert second.log_tail().startswith("step 0 of")


def test_where_it_died_a_run_begins_all_the_same(root: Path) -> None:
    ready = kept()
    ready.kill()
    wait_for(lambda: ready.status() == psutil.STATUS_ZOMBIE, "its end")
    run, trainer = begun(root)
    assert trainer.ppid() == os.getpid()
    run.command("stop")
    ended(run, "stopped")


def test_it_gives_way_when_the_code_or_a_limit_was_changed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "package" / "model.py"
    module.parent.mkdir()
    module.touch()
    monkeypatch.setattr(launch, "PACKAGE", module.parent)
    ready = kept()
    assert kept().pid == ready.pid
    os.utime(module, (1, 1))
    newer = kept()
    assert newer.pid != ready.pid
    # The older process would apply the limits of the environment it was started in.
    monkeypatch.setenv("WORKBENCH_MEMORY_MB", "5000")
    assert kept().pid != newer.pid
    wait_for(lambda: not ready.is_running() or ready.status() == psutil.STATUS_ZOMBIE, "its end")


def test_a_trainer_that_ends_before_it_begins_is_told(root: Path) -> None:
    kept()
    run = queue.submit(tiny(), root=root)
    (run.path / "config.json").write_text("{")
    assert "before it began" in ended(run, "failed").reason

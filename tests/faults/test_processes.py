"""Which process trains a run: changed clocks, reused pids, leftover locks, races."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.nursery import Child, Nursery
from tests.support.trainers import OFTEN, assert_same_run, tiny, trains, wait_for
from transformer.config import RunConfig
from transformer.errors import RunError
from transformer.runs import queue, trash
from transformer.runs.creation import create_run
from transformer.runs.directory import Run, Status, list_runs, process_of, start_time
from transformer.runs.resume import resume

DAY = 86_400


@pytest.fixture
def living(nursery: Nursery, root: Path) -> Iterator[tuple[Run, Child]]:
    """A run that is training, and its trainer."""
    run = create_run(tiny(), root=root)
    child = nursery.train(run, environment={})
    wait_for(lambda: trains(run), "metrics")
    yield run, child
    child.kill()


# The clock


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that moves the clock by which psutil computes when a process started.

    Linux gives a process's start in ticks since boot, and the time of boot by today's clock:
    the time of boot moves with every change of the clock.
    """
    if sys.platform != "linux":
        pytest.skip("/proc is Linux's")
    folder = tmp_path / "proc"
    folder.mkdir()
    for name in os.listdir("/proc"):
        (folder / name).symlink_to(Path("/proc") / name)

    def move(seconds: int) -> None:
        lines = Path("/proc/stat").read_text().splitlines()
        moved = [
            f"btime {int(line.split()[1]) + seconds}" if line.startswith("btime") else line
            for line in lines
        ]
        (folder / "stat").unlink()
        (folder / "stat").write_text("\n".join(moved) + "\n")
        monkeypatch.setattr(psutil, "PROCFS_PATH", str(folder))

    return move


@pytest.mark.parametrize("seconds", [DAY, -DAY, 1])
def test_a_trainer_is_known_after_the_clock_was_moved(
    seconds: int, living: tuple[Run, Child], clock: Callable[[int], None]
) -> None:
    """The kernel's own corrections of the clock add up to one second after some days."""
    run, child = living
    clock(seconds)
    process = process_of(run.status())
    assert process is not None
    assert process.pid == child.pid
    assert run.status().state == "running"
    queue.kill(run)
    assert child.wait() == -9
    assert run.status().state == "interrupted"


@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_times_of_files_decide_nothing(seconds: int, living: tuple[Run, Child]) -> None:
    run, child = living
    root = run.path.parent
    others = [create_run(tiny(), root=root) for _ in range(3)]
    for number, other in enumerate(others):
        other.set_status(Status("queued", ticket=number + 1))
        about = json.loads((other.path / "about.json").read_bytes())
        moved = about | {"created": about["created"] - number * seconds}
        (other.path / "about.json").write_text(json.dumps(moved))
    for path in [*root.rglob("*"), *root.iterdir()]:
        then = time.time() + seconds
        if path.name != "run.lock":
            os.utime(path, (then, then))
    assert Run(run.path).status().state == "running"
    assert [other.id for other in queue.waiting(root)] == [other.id for other in others]
    assert len(list_runs(root)) == 4
    before = run.last_step()
    wait_for(lambda: run.last_step() > before, "training to go on")
    steps = [record.step for record in run.metrics()]
    assert steps == sorted(steps)
    assert child.poll() is None


# Pids and locks


@pytest.fixture
def innocent() -> Iterator[psutil.Process]:
    """A process that has nothing to do with any run."""
    process = psutil.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("act", [queue.kill, trash.delete])
def test_a_process_that_has_the_pid_by_now_is_left_alone(
    act: Callable[[Run], None], innocent: psutil.Process, root: Path
) -> None:
    run = create_run(tiny(), root=root)
    earlier = start_time(psutil.Process(innocent.pid)) - 60
    run.set_status(Status("running", pid=innocent.pid, process_started=earlier))
    assert run.status().state == "interrupted"
    act(run)
    assert innocent.is_running()
    assert innocent.status() != psutil.STATUS_ZOMBIE


def test_kill_and_delete_ignore_the_starters_pid(root: Path) -> None:
    """Until a trainer's own pid is recorded, the status holds its starter's pid."""
    run = create_run(tiny(), root=root)
    assert run.status().pid == os.getpid()
    queue.kill(run)
    trash.delete(run)
    assert [deleted.id for deleted in trash.deleted_runs(root)] == [run.id]


def test_a_lock_file_without_a_holder_holds_up_nobody(
    config: RunConfig, unbroken: Run, nursery: Nursery, root: Path
) -> None:
    run = create_run(config, root=root)
    (run.path / "run.lock").write_text("12345\n")
    run.set_status(Status("running", pid=2**22 - 1, process_started=5.0, step=3))
    assert run.status().state == "interrupted"
    assert nursery.train(run).wait() == 0
    assert_same_run(run, unbroken)


def test_a_look_does_not_keep_a_trainer_from_its_lock(
    config: RunConfig, unbroken: Run, nursery: Nursery, root: Path
) -> None:
    """Checking whether the lock is held takes it for an instant."""
    run = create_run(config, root=root)
    run.set_status(Status("running", pid=2**22 - 1, process_started=5.0))
    child = nursery.train(run)
    while child.poll() is None:
        Run(run.path).is_locked()
    assert child.wait() == 0, run.log_tail()
    assert_same_run(run, unbroken)


def test_a_trainer_that_no_status_names(living: tuple[Run, Child]) -> None:
    """With a damaged status, the held lock shows that the trainer runs; it still obeys."""
    run, child = living
    (run.path / "status.json").write_bytes(b'{"state": "runn')
    assert run.status().state == "running"
    with pytest.raises(RunError, match="running"):
        resume(run)
    with pytest.raises(RunError, match="stop it first"):
        trash.delete(run)
    assert run.path.is_dir()
    queue.command(run, "stop")
    assert child.wait() == 0
    assert run.status().state == "stopped"
    trash.delete(run)


def test_a_trainer_whose_run_was_taken_away_ends(living: tuple[Run, Child]) -> None:
    run, child = living
    run.path.rename(run.path.with_name("elsewhere"))
    assert child.wait() != 0
    assert not run.path.exists()


def test_a_look_at_a_deleted_run_does_not_bring_back_its_folder(root: Path) -> None:
    run = create_run(tiny(), root=root)
    trash.delete(run)
    assert not run.is_locked()
    assert run.status().state == "interrupted"
    with pytest.raises(RunError, match="deleted"), run.lock():
        pass
    assert not run.path.exists()
    assert trash.restore(run.id, root).path.is_dir()


# Races


def start_at_once(nursery: Nursery, commands: list[list[str]], logs: Path) -> list[Child]:
    logs.mkdir()
    return [
        nursery.spawn(words, logs / f"{number}.log", OFTEN) for number, words in enumerate(commands)
    ]


def assert_one_trained(children: list[Child], *reasons: str) -> None:
    """Check that one child trained, and that the others gave a reason in one line."""
    codes = [child.wait() for child in children]
    losers = [child for child, code in zip(children, codes, strict=True) if code]
    assert sorted(codes) == [0] + [1] * (len(children) - 1), [c.output() for c in losers]
    for child in losers:
        (line,) = child.output().splitlines()
        assert line.startswith("error: ")
        assert any(reason in line for reason in reasons)


def test_twenty_start_one_run(nursery: Nursery, root: Path) -> None:
    run = create_run(tiny(), root=root)
    words = ["train", "--run-dir", str(run.path)]
    children = start_at_once(nursery, [words] * 20, root / "logs")
    wait_for(lambda: sum(child.poll() is None for child in children) == 1, "nineteen to give up")
    wait_for(lambda: trains(run), "metrics")
    queue.command(run, "stop")
    assert_one_trained(children, "trained by another process")
    steps = [record.step for record in run.metrics() if record.kind == "train"]
    assert steps == list(range(1, len(steps) + 1))


def test_twenty_make_one_run(nursery: Nursery, root: Path) -> None:
    root.mkdir()
    path = root / "new"
    flags = "--task reverse --preset tiny --max-letters 4 --d-model 16 --d-ff 16 --max-length 8"
    flags += " --threads 1 --steps 1000000 --eval-every 1000 --final-examples 12"
    words = ["train", "--run-dir", str(path), *flags.split(), "--seed"]
    children = start_at_once(nursery, [[*words, str(seed)] for seed in range(20)], root / "logs")
    wait_for(lambda: sum(child.poll() is None for child in children) == 1, "nineteen to give up")
    run = Run(path)
    wait_for(lambda: trains(run), "metrics")
    queue.command(run, "stop")
    # The others asked for other seeds, so none may join this run.
    assert_one_trained(children, "already holds a run", "is not empty")
    assert run.status().state == "stopped"
    assert [name for name in os.listdir(root) if name.startswith(".")] == []

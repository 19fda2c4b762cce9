"""Run directories and real trainer processes: files, locks, and which process outlives which."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkpoint_files import summary_of
from tests.support.nursery import Nursery
from tests.support.places import ROOT
from tests.support.trainers import ended, no_trainer_left, tiny, trainers, trains, wait_for
from transformer.checkpoint import Checkpoint
from transformer.errors import RunError, UserError
from transformer.runs import launch
from transformer.runs.creation import About, create_run
from transformer.runs.directory import Run, Status, list_runs
from transformer.runs.queue import start
from transformer.runs.trash import delete, deleted_runs


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder for runs, whose trainers are ended after the test."""
    with no_trainer_left(tmp_path):
        yield tmp_path / "runs"


# The directory


NAMES = ["", "../../evil", "/etc/passwd", "a\0b", "<b>bold</b>", "CON", "🦖 \u202e", "x" * 5000]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_data_and_never_a_path(name: str, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    run = create_run(tiny(), about=About(name), root=root)
    assert os.listdir(tmp_path) == ["runs"]
    assert os.listdir(root) == [run.id]
    assert run.id.isalnum()
    assert run.id.isascii()
    assert run.about()["name"] == name[:200]
    assert [found.about() for found in list_runs(root)] == [run.about()]


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return create_run(tiny(), root=tmp_path_factory.mktemp("one") / "runs", about=About("one"))


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    assert list_runs(root) == []
    made = []
    for number in range(3):
        made.append(create_run(tiny(), root=root, about=About(str(number))).id)
        time.sleep(0.01)
    # What is not a run is skipped.
    (root / "empty").mkdir()
    (root / "file").write_text("not a run")
    assert [run.id for run in list_runs(root)] == made[::-1]
    assert list_runs(root / "file") == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff", b'{"created": "yesterday"}']
)
def test_one_damaged_run_does_not_hide_the_others(content: bytes, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    good, damaged = (create_run(tiny(), root=root) for _ in range(2))
    (damaged.path / "about.json").write_bytes(content)
    assert {run.id for run in list_runs(root)} == {good.id, damaged.id}


def test_a_config_comes_back_as_it_was(one_run: Run) -> None:
    assert one_run.config() == tiny()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"preset": "tiny"}',
        b'{"preset": "x", "data": {}, "model": {}, "training": {"steps": -1}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_config_is_named(content: bytes, tmp_path: Path) -> None:
    run = create_run(tiny(), root=tmp_path)
    (run.path / "config.json").write_bytes(content)
    with pytest.raises(RunError, match=f"{run.id} is damaged"):
        run.config()
    with pytest.raises(RunError, match="damaged"):
        start(run)


def test_a_used_directory_is_not_used_again(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    create_run(tiny(), path=tmp_path / "new")
    with pytest.raises(RunError, match="not empty"):
        create_run(tiny(), path=tmp_path / "new")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError):
        create_run(tiny(), path=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_of_a_name_that_was_deleted_before_can_be_deleted(tmp_path: Path) -> None:
    for name in ("first", "second"):
        run = create_run(tiny(), about=About(name), path=tmp_path / "my-reverse")
        run.set_status(Status("stopped"))
        delete(run)
    assert [gone.about()["name"] for gone in deleted_runs(tmp_path)] == ["second"]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"\xff", b'{"what": 1}', b'{"state": "running"}'),
        b'{"state": "running", "pid": -1}',
        b'{"state": "running", "pid": 99999999999999999999}',
    ],
)
def test_a_status_without_a_trainer_is_interrupted(content: bytes, tmp_path: Path) -> None:
    run = create_run(tiny(), root=tmp_path)
    (run.path / "status.json").write_bytes(content)
    assert run.status().state == "interrupted"
    assert run.status().reason


def test_a_pid_used_again_does_not_revive_a_run(tmp_path: Path) -> None:
    """This process has the recorded pid, but started at another time."""
    run = create_run(tiny(), root=tmp_path)
    run.set_status(Status("running", pid=os.getpid(), process_started=1.0))
    assert run.status().state == "interrupted"


def test_a_trainer_that_died_on_its_way_failed_to_start(tmp_path: Path) -> None:
    """The status says that it failed, even before the process that started it notices."""
    run = create_run(tiny(), root=tmp_path)
    run.set_status(Status("starting", pid=2**22 - 1, process_started=1.0))
    status = run.status()
    assert (status.state, status.kind) == ("failed", "error")
    assert "before it began" in status.reason
    # With metrics it is a resumed run, which can go on from there.
    (run.path / "metrics.jsonl").write_text('{"kind": "train", "step": 900}\n')
    assert (run.status().state, run.status().step) == ("interrupted", 900)


def test_only_known_commands_are_written(one_run: Run) -> None:
    assert one_run.pending_command() == ""
    for word in ("", "rm -rf", "../stop", "STOP"):
        with pytest.raises(RunError, match="stop"):
            one_run.command(word)
    assert one_run.pending_command() == ""


def test_half_a_status_is_not_remembered(tmp_path: Path) -> None:
    """On a full disk the status is overwritten in place, so inode, size and time stay the same."""
    run = create_run(tiny(), root=tmp_path)
    file, before = run.path / "status.json", run.status()
    whole, stat = file.read_bytes(), file.stat()
    for content in (whole[:9].ljust(len(whole)), whole):
        file.write_bytes(content)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        found = run.recorded_status()
    assert found == before


def test_the_lock_has_one_holder(tmp_path: Path) -> None:
    run = create_run(tiny(), root=tmp_path)
    with run.lock(), pytest.raises(RunError, match="another process"), Run(run.path).lock():
        pass
    with Run(run.path).lock():
        pass


# Trainers. For two tests it matters which process starts the trainer; the others use the
# nursery, whose trainers need not import torch.


def test_a_killed_trainer_leaves_an_interrupted_run(root: Path, nursery: Nursery) -> None:
    run = create_run(tiny(), root=root)
    assert run.status().state == "starting"
    trainer = nursery.train(run, environment={})
    wait_for(lambda: trains(run), "metrics")
    status = run.status()
    assert status.state == "running"
    assert status.pid == trainer.pid
    trainer.kill()
    status = ended(run, "interrupted")
    assert status.step == run.last_step() > 0
    assert status.reason
    # The lock is released with its holder, and the metrics written so far can be read.
    with run.lock():
        pass
    found = run.metrics()
    first, second, *others = found
    assert first.kind == second.kind == "eval"
    assert first.step == second.step == 0
    assert first.loss
    assert second.exact_match == 0.0
    steps = [record.step for record in found]
    assert steps == sorted(steps)
    assert all(record.seconds is not None for record in found)
    assert all(record.loss for record in others if record.kind == "train")


def test_one_trainer_trains_and_a_stop_keeps_what_it_learned(root: Path, nursery: Nursery) -> None:
    """Two trainers start at once, as from two tabs; exactly one gets the run."""
    run = create_run(tiny(), root=root)
    both = [nursery.train(run) for _ in range(2)]
    wait_for(lambda: trains(run), "metrics")
    wait_for(lambda: {one.poll() for one in both} == {None, 1}, "one to give up")
    [trainer] = [one for one in both if one.poll() is None]
    assert "being trained by another process" in run.log_tail()
    assert "Traceback" not in run.log_tail()
    status = run.status()
    assert status.state == "running"
    assert status.pid == trainer.pid
    before = run.last_step()
    wait_for(lambda: run.last_step() > before, "training to go on")

    run.command("stop")
    stopped = ended(run, "stopped")
    assert stopped.pid == status.pid
    assert stopped.step >= before
    checkpoint = Checkpoint.load(run.checkpoints()[-1])
    assert summary_of(checkpoint).steps == stopped.step == run.last_step()
    assert 0 < summary_of(checkpoint).loss < summary_of(checkpoint).untrained_loss
    assert checkpoint.header.data == run.config().data
    assert trainer.wait() == 0

    # The same examples at every evaluation, none of them trained on.
    samples = run.samples()
    assert samples[0]["step"] == 0
    assert samples[-1]["step"] == stopped.step
    assert len({tuple(one["source"] for one in entry["samples"]) for entry in samples[:-1]}) == 1
    for entry in samples:
        for one in entry["samples"]:
            target, output = "".join(one["target"]), "".join(one["output"])
            assert target == one["source"][::-1]
            assert one["right"] == (output == target)
    # A sample is cut soon after its first error, so the example may be longer.
    for one, example in zip(samples[-1]["samples"], checkpoint.header.examples, strict=True):
        assert one["source"] == example.source
        assert example.output.startswith("".join(one["output"]))


@pytest.mark.parametrize(("number", "state"), [("SIGTERM", "paused"), ("SIGINT", "stopped")])
def test_signals_save_first(number: str, state: str, root: Path, nursery: Nursery) -> None:
    """A cluster sends SIGTERM before it takes the machine away: the run can go on elsewhere.
    SIGINT is the user's Ctrl-C: the run is stopped."""
    run = create_run(tiny(), root=root)
    nursery.train(run, environment={})
    wait_for(lambda: trains(run), "metrics")
    os.kill(run.status().pid, getattr(signal, number))
    status = ended(run, state)
    assert status.reason == ""
    assert summary_of(Checkpoint.load(run.checkpoints()[-1])).steps == status.step > 0


@pytest.mark.parametrize("steps", [1, 50])
def test_a_diverging_run_says_so_and_keeps_the_last_good_model(
    steps: int, root: Path, nursery: Nursery
) -> None:
    """An ε that is 0 in 32 bits: Adam divides 0 by 0, and the first update makes weights NaN.

    With 50 steps the second update detects it; with one step only the last evaluation can.
    """
    run = create_run(tiny(steps=steps, adam_eps=1e-60), root=root)
    nursery.train(run, environment={})
    status = ended(run, "diverged")
    assert "learning rate" in status.reason
    assert "\n" not in status.reason
    (path,) = run.checkpoints()
    assert summary_of(Checkpoint.load(path)).steps == 0
    assert "Traceback" not in run.log_tail()


def test_a_trainer_that_cannot_begin_says_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The config is damaged after `start` reads it, and before the trainer reads it."""
    # A child of this process, since only the parent learns a process's exit status.
    monkeypatch.setattr(launch, "_ready", None)
    run = create_run(tiny(), root=root)
    start(run)
    (run.path / "config.json").write_bytes(b"{")
    # The starter records the reason a moment after the trainer has ended.
    wait_for(lambda: "(exit status 1)" in run.status().reason, "the reason")
    assert run.status().state == "failed"
    assert "is damaged" in run.log_tail()
    assert "Traceback" not in run.log_tail()


def test_a_trainer_outlives_who_started_it(root: Path) -> None:
    """The app is killed with its process group, and its run goes on."""
    code = (
        "import json, sys, time; from pathlib import Path;"
        "from transformer.config import RunConfig;"
        "from transformer.runs.creation import create_run;"
        "from transformer.runs.queue import start;"
        "config = RunConfig.from_dict(json.loads(sys.argv[2]));"
        "run = create_run(config, root=Path(sys.argv[1]));"
        "start(run); print(run.id, flush=True); time.sleep(600)"
    )
    app = subprocess.Popen(
        [sys.executable, "-c", code, str(root), json.dumps(tiny(steps=40).to_dict())],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert app.stdout is not None
    run = Run(root / app.stdout.readline().strip())
    wait_for(lambda: trainers(root), "the trainer")
    os.killpg(app.pid, signal.SIGKILL)
    app.wait()
    app.stdout.close()
    status = ended(run, "finished")
    assert status.step == 40
    path = run.checkpoints()[-1]
    assert path.name == "step-40.safetensors"
    assert summary_of(Checkpoint.load(path)).steps == 40
    # The run is listed as finished.
    assert [(found.id, found.status().state) for found in list_runs(root)] == [(run.id, "finished")]


def test_a_stop_before_the_first_update_still_measures_the_untrained_model(
    root: Path, nursery: Nursery
) -> None:
    run = create_run(tiny(), root=root)
    run.command("stop")
    nursery.train(run, environment={})
    ended(run, "stopped")
    # Once as the baseline, once at the end.
    assert [entry["step"] for entry in run.samples()] == [0, 0]
    assert summary_of(Checkpoint.load(run.checkpoints()[-1])).steps == 0

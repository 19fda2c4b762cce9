"""Every command in every state of a run: the new state, or a sentence that refuses."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support.nursery import Nursery
from tests.support.trainers import no_trainer_left, tiny
from transformer.errors import ConfigError, RunError
from transformer.runs import queue, trash
from transformer.runs.creation import About, create_run
from transformer.runs.directory import STATES, Run, Status, start_time
from transformer.runs.resume import resume, train_on

LIVING = ("starting", "running", "stopping")
SAYS_NO = {
    "not training": r"is not training: it is {state}\.$",
    "nothing to resume": r"is {state}, so there is nothing to resume\.$",
    "still": r"is still {state}; wait, or stop it first\.$",
    "being trained": r"trained by another process\. It could not be deleted; stop it first\.$",
}
# The result of a command in each state in which it is not refused. "ordered": the command is
# left for the trainer, which obeys between two updates.
TABLE = {
    "pause": {"queued": "paused"} | dict.fromkeys(LIVING, "ordered"),
    "stop": {"queued": "stopped"} | dict.fromkeys(LIVING, "ordered"),
    "save": dict.fromkeys(LIVING, "ordered"),
    "resume": dict.fromkeys(("paused", "failed", "interrupted"), "queued"),
    "delete": {"queued": "paused"}
    | {state: state for state in STATES if state not in ("queued", *LIVING)},
    "train_on": dict.fromkeys(
        ("paused", "failed", "interrupted", "finished", "stopped", "diverged"), "a new run"
    ),
}
OTHERWISE = {
    "pause": "not training",
    "stop": "not training",
    "save": "not training",
    "resume": "nothing to resume",
    "delete": "being trained",
    "train_on": "still",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Run]:
    """A run with snapshots."""
    folder = tmp_path_factory.mktemp("trained")
    with no_trainer_left(folder):
        run = create_run(tiny(steps=2), root=folder / "runs")
        assert nursery.train(run).wait() == 0, run.log_tail()
        yield run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs where one may train at a time; ``in_state`` makes that one."""
    monkeypatch.setenv("WORKBENCH_TRAINERS", "1")
    return tmp_path / "runs"


def in_state(state: str, root: Path, stack: ExitStack, like: Run) -> Run:
    """A run in a state. If it is being trained, this process holds its lock."""
    busy, run = create_run(tiny(), root=root), Run(root / "abcdefabcdef")
    shutil.copytree(like.path, run.path)
    process = psutil.Process()
    for one, its in ((busy, "running"), (run, state)):
        if its == "interrupted":
            one.set_status(Status("running", pid=2**22 - 1, process_started=1.0))
            continue
        one.set_status(Status(its, pid=process.pid, process_started=start_time(process), ticket=7))
        if its in LIVING:
            stack.enter_context(Run(one.path).lock())
    return run


@pytest.mark.parametrize("word", TABLE)
@pytest.mark.parametrize("state", STATES)
def test_every_command_in_every_state(state: str, word: str, root: Path, trained: Run) -> None:
    acts: dict[str, Callable[[Run], object]] = {
        "resume": resume,
        "delete": trash.delete,
        "train_on": lambda run: train_on(run, 3),
    }
    act = acts.get(word, lambda run: queue.command(run, word))
    with ExitStack() as stack:
        run = in_state(state, root, stack, trained)
        assert run.status().state == state
        expected = TABLE[word].get(state)
        if expected is None:
            sentence = SAYS_NO[OTHERWISE[word]].format(state=state)
            before = run.recorded_status()
            with pytest.raises(RunError, match=sentence) as refusal:
                act(run)
            assert "\n" not in str(refusal.value)
            assert run.recorded_status() == before
            assert run.pending_command() == ""
            return
        made = act(run)
        if word == "delete":
            assert [deleted.id for deleted in trash.deleted_runs(root)] == [run.id]
            with pytest.raises(RunError, match="no run in"):
                queue.command(run, "stop")
            run = trash.restore(run.id, root)
            assert trash.deleted_runs(root) == []
        if expected == "ordered":
            assert run.pending_command() == word
            assert run.status().state == state
        elif expected == "a new run":
            assert isinstance(made, Run)
            assert made.status().state == "paused"
            assert made.config().training.steps == 5
            assert (made.about()["parent"], made.about()["parent_step"]) == (run.id, 2)
            assert run.status().state == state
        else:
            assert run.status().state == expected


def test_a_run_resumed_obeys_no_command_from_before(root: Path, trained: Run) -> None:
    with ExitStack() as stack:
        run = in_state("paused", root, stack, trained)
        run.command("stop")
        resume(run)
        assert run.pending_command() == ""


@pytest.mark.parametrize("steps", [0, -1, 10**9])
def test_training_on_adds_steps(steps: int, root: Path, trained: Run) -> None:
    with ExitStack() as stack:
        run = in_state("finished", root, stack, trained)
        before = sorted(os.listdir(root))
        with pytest.raises((RunError, ConfigError), match="steps"):
            train_on(run, steps)
        assert sorted(os.listdir(root)) == before


def test_a_run_with_a_name_of_its_own_comes_back_from_the_trash(root: Path) -> None:
    """Such a run is made with --run-dir runs/mine."""
    run = create_run(tiny(), path=root / "my run")
    run.set_status(Status("paused"))
    trash.delete(run)
    assert trash.restore("my run", root).status().state == "paused"


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "/etc", "a/b", "0" * 12, "x" * 5000])
def test_only_what_is_in_the_trash_is_restored(name: str, root: Path) -> None:
    run = create_run(tiny(), root=root)
    run.set_status(Status("paused"))
    trash.delete(run)
    with pytest.raises(RunError, match="not in the trash"):
        trash.restore(name, root)
    assert [deleted.id for deleted in trash.deleted_runs(root)] == [run.id]


def test_the_trash_keeps_the_last_deleted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trash, "MAX_DELETED_RUNS", 2)
    runs = [create_run(tiny(), root=root) for _ in range(4)]
    for run in runs:
        run.set_status(Status("finished"))
        trash.delete(run)
    assert [run.id for run in trash.deleted_runs(root)] == [runs[3].id, runs[2].id]
    with pytest.raises(RunError, match="any more"):
        trash.restore(runs[0].id, root)


def test_deleting_takes_nobody_elses_run_out_of_the_trash(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash, "MAX_DELETED_RUNS", 2)

    def deleted(owner: str) -> Run:
        run = create_run(tiny(), about=About(owner=owner), root=root)
        run.set_status(Status("finished"))
        trash.delete(run)
        return run

    theirs = deleted("you")
    mine = [deleted("me") for _ in range(5)]
    assert [run.id for run in trash.deleted_runs(root)] == [mine[-1].id, theirs.id]
    with pytest.raises(RunError, match="the trash is full of the last runs of other people"):
        deleted("somebody")
    assert trash.restore(theirs.id, root).status().state == "finished"


def test_browsers_take_turns_and_a_full_queue_keeps_a_place_for_a_new_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, trained: Run
) -> None:
    """A full queue still accepts one run of a new browser, and browsers take turns."""
    with ExitStack() as stack:
        in_state("finished", root, stack, trained)
        monkeypatch.setenv("WORKBENCH_QUEUE", "4")
        greedy = [queue.submit(tiny(), about=About(owner="greedy"), root=root) for _ in range(4)]
        with pytest.raises(RunError, match="runs are waiting already"):
            queue.submit(tiny(), about=About(owner="greedy"), root=root)
        student = queue.submit(tiny(), about=About(owner="student"), root=root)
        with pytest.raises(RunError, match="runs are waiting already"):
            queue.submit(tiny(), about=About(owner="student"), root=root)
        line = [run.id for run in queue.waiting(root)]
        assert line == [run.id for run in (greedy[0], student, *greedy[1:])]


def test_the_queue_has_limits(root: Path, monkeypatch: pytest.MonkeyPatch, trained: Run) -> None:
    with ExitStack() as stack:
        in_state("finished", root, stack, trained)
        monkeypatch.setenv("WORKBENCH_QUEUE", "3")
        monkeypatch.setenv("WORKBENCH_QUEUE_PER_BROWSER", "2")
        mine = [queue.submit(tiny(), about=About(owner="me"), root=root) for _ in range(2)]
        with pytest.raises(RunError, match="2 of your runs are waiting"):
            queue.submit(tiny(), about=About(owner="me"), root=root)
        other = queue.submit(tiny(), about=About(owner="you"), root=root)
        with pytest.raises(RunError, match="3 runs are waiting already"):
            queue.submit(tiny(), root=root)
        assert [run.id for run in queue.waiting(root)] == [
            run.id for run in (mine[0], other, mine[1])
        ]
        for name, limit, sentence in (
            ("PARAMETERS", "1000", "parameters"),
            ("TRAINERS", "many", "WORKBENCH_TRAINERS"),
        ):
            monkeypatch.setenv(f"WORKBENCH_{name}", limit)
            with pytest.raises((RunError, ConfigError), match=re.escape(sentence)):
                queue.submit(tiny(), root=root)
            monkeypatch.delenv(f"WORKBENCH_{name}")
        assert len(queue.waiting(root)) == 3

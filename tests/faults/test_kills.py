"""``kill -9`` at random moments: the run resumes, and ends exactly like one never killed.

Most kills hit a trainer that saves after every update, so many interrupt the writing of a
checkpoint. Meanwhile a reader reads every file, and never finds a partly written one.
"""

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.nursery import Child, Nursery
from tests.support.trainers import OFTEN, assert_same_run, tiny, wait_for
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.resume import newest_intact_snapshot
from transformer.tasks.presets import prepare

SOMETIMES = {"WORKBENCH_SNAPSHOT_SECONDS": "0.01"}
"""Environment in which each kill loses several updates, which are repeated."""

Make = Callable[[Path, int], Run]


def reverse(path: Path, seed: int) -> Run:
    return create_run(tiny(steps=10, eval_every=4, seed=seed), path=path)


def own_pairs(path: Path, seed: int, held_out: float = 0.1, **training: Any) -> Run:
    """A run with Muon on 17 pairs in batches of 4: every epoch ends with a short batch."""
    text = "".join(f"{'abcdef'[i % 6] * (1 + i % 5)} {i}\t{i} {'xyz'[i % 3]}\n" for i in range(19))
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_suffix(".tsv")
    file.write_text(text)
    _, config = prepare(
        "pairs",
        "tiny",
        pairs=file,
        data={"tokens": "characters", "held_out": held_out},
        model={"d_model": 16, "num_heads": 2, "d_ff": 16, "dropout": 0.3, "max_length": 10},
        training={
            "threads": 1,
            "steps": 12,
            "batch_size": 4,
            "optimizer": "muon",
            "eval_every": 5,
            "seed": seed,
            "precision": "fp32",  # a trial could choose differently in the two runs
            **training,
        },
    )
    return create_run(config, pairs=file, path=path)


def until_loss(path: Path, seed: int) -> Run:
    """A run that ends long before its last step; after step 100 not every update is logged."""
    fast = {"learning_rate": 0.01, "warmup_steps": 10, "until_loss": 0.7}
    return own_pairs(path, seed, held_out=0.0, steps=40_000, eval_every=18, **fast)


def made_progress(run: Run, child: Child, log_start: int, start: int) -> bool:
    """Whether this trainer has written metrics beyond its snapshot, or has ended."""
    word = "step 0 of" if start < 0 else "Going on"
    begun = word in child.output()[log_start:]
    return child.poll() is not None or (begun and run.last_step() > start)


def kill_at_random(
    run: Run, nursery: Nursery, random: Random, environment: dict[str, str], most: int
) -> int:
    """Start and kill trainers of a run until one finishes; returns the kills that count."""
    kills = 0
    while run.status().state != "finished" and kills < most:
        kills += is_killed(run, nursery, random, environment)
        status = run.status()
        early = "before it began" in status.reason  # killed while it loaded
        assert early or status.state in ("interrupted", "finished"), run.log_tail()
    assert nursery.train(run, environment=environment, overfit=True).wait() == 0, run.log_tail()
    return kills


def is_killed(run: Run, nursery: Nursery, random: Random, environment: dict[str, str]) -> bool:
    """Start a trainer and kill it; returns whether the kill counts.

    It counts if the trainer had written metrics, and had not finished.
    """
    sound = newest_intact_snapshot(run.path)
    start = sound.step if sound else -1
    log_start = len(run.log_tail(10**9))
    began = time.monotonic()
    child = nursery.train(run, environment=environment, overfit=True)
    if random.random() < 0.1:  # while it starts or resumes, or soon after
        time.sleep(random.uniform(0, 0.4))
    else:
        wait_for(lambda: made_progress(run, child, log_start, start), "metrics")
        # On a busy machine every phase takes longer, so the wait is scaled.
        time.sleep(random.expovariate(1) * 0.5 * (time.monotonic() - began))
    progress = made_progress(run, child, log_start, start)
    child.kill()
    return progress and child.poll() == -9 and run.status().state == "interrupted"


CASES = [(reverse, OFTEN), (own_pairs, OFTEN), (until_loss, SOMETIMES)]


@pytest.mark.parametrize(
    ("make", "environment"),
    [CASES[0], *(pytest.param(*case, marks=pytest.mark.long) for case in CASES[1:])],
)
def test_a_killed_run_ends_as_the_unbroken_one(
    make: Make, environment: dict[str, str], nursery: Nursery, root: Path
) -> None:
    assert compare(make, environment, 1, nursery, root, most=8) >= 3


@pytest.mark.parametrize("loss", [0.0, pytest.param(100.0, marks=pytest.mark.long)])
def test_a_run_killed_between_its_last_snapshot_and_its_last_status(
    loss: float, nursery: Nursery, root: Path
) -> None:
    """The resumed run does not evaluate twice; one that had reached its loss trains no further."""
    config = tiny(steps=8, eval_every=4, until_loss=loss)
    last = 4 if loss else 8
    run, unbroken = (create_run(config, root=root) for _ in range(2))
    assert nursery.train(unbroken, environment={}).wait() == 0, unbroken.log_tail()
    assert unbroken.status().step == last
    child = nursery.train(run)
    manifest = run.path / "checkpoints" / f"step-{last}.json"
    while not manifest.exists() and child.poll() is None:
        pass
    child.kill()
    assert run.status().state == "interrupted"
    assert nursery.train(run, environment={}).wait() == 0, run.log_tail()
    assert (run.status().state, run.status().step) == ("finished", last)
    assert_same_run(run, unbroken)


@pytest.mark.long
def test_a_hundred_kills(nursery: Nursery, root: Path) -> None:
    kills = 0
    for seed in count(2):
        for make, environment in CASES:
            here = compare(make, environment, seed, nursery, root, most=1000)
            kills += here
            print(f"{make.__name__}, seed {seed}: {here} kills, {kills} so far", flush=True)
        if kills >= 100:
            return


def compare(
    make: Make, environment: dict[str, str], seed: int, nursery: Nursery, root: Path, most: int
) -> int:
    """Compare a run whose trainers are killed with an unbroken one; returns the kills."""
    run, unbroken = (make(root / f"{make.__name__}-{seed}-{name}", seed) for name in "ab")
    assert nursery.train(unbroken, environment={}, overfit=True).wait() == 0, unbroken.log_tail()
    with nursery.watched(run):
        kills = kill_at_random(run, nursery, Random(run.id), environment, most)
    assert_same_run(run, unbroken)
    return kills

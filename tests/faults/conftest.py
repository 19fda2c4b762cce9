"""Fixtures of the fault tests: a folder for runs, their settings, and an unbroken run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.trainers import no_trainer_left, tiny
from transformer.config import RunConfig
from transformer.runs.creation import create_run
from transformer.runs.directory import Run


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder for runs, whose trainers are ended after the test."""
    with no_trainer_left(tmp_path):
        yield tmp_path / "runs"


@pytest.fixture(scope="session")
def config() -> RunConfig:
    """Settings of a run that takes half a second."""
    return tiny(steps=12, eval_every=5)


@pytest.fixture(scope="session")
def unbroken(config: RunConfig, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run trained without any fault, to compare with."""
    run = create_run(config, root=tmp_path_factory.mktemp("unbroken"))
    assert nursery.train(run).wait() == 0, run.log_tail()
    return run

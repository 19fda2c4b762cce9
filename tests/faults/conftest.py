"""Where these tests make their runs, and a run that nothing befell."""

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
    """Where runs are made; no trainer of theirs outlives the test."""
    with no_trainer_left(tmp_path):
        yield tmp_path / "runs"


@pytest.fixture(scope="session")
def config() -> RunConfig:
    """Of a run that takes half a second."""
    return tiny(steps=12, eval_every=5)


@pytest.fixture(scope="session")
def unbroken(config: RunConfig, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run as it should be, trained without any fault."""
    run = create_run(config, root=tmp_path_factory.mktemp("unbroken"))
    assert nursery.train(run).wait() == 0, run.log_tail()
    return run

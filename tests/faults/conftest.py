"""One nursery for all of these tests: torch is imported once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.nursery import Nursery, open_nursery
from tests.trainers import no_trainer_left


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with open_nursery() as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Where runs are made; no trainer of theirs outlives the test."""
    with no_trainer_left(tmp_path):
        yield tmp_path / "runs"

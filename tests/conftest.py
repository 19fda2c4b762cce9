"""What all tests share: one thread, the same examples at every run, and a saved checkpoint."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import torch

from tests.support.nursery import Nursery, open_nursery
from tests.support.places import bundled_file
from transformer.checkpoint import Checkpoint

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Before its first import: else a failing assert in there would not say what it compared.
pytest.register_assert_rewrite(
    "tests.support.checkpoint_files", "tests.support.pytorch_models", "tests.support.wild_models"
)

hypothesis.settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # by the clock: the machine is busy
)
hypothesis.settings.load_profile("repeatable")


TESTS = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """A marker for each folder of tests, so that several can be chosen or left out at once."""
    for folder in sorted(path.name for path in TESTS.iterdir() if (path / "__init__.py").exists()):
        config.addinivalue_line("markers", f"{folder}: the tests in tests/{folder}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder, *rest = item.path.relative_to(TESTS).parts
        if rest:
            item.add_marker(folder)


BUDGET = 3.0
"""Seconds of the processor that a test should not exceed; those that do are named at the end."""
SPENT = "seconds of the processor"


def processor_seconds() -> float:
    """Of this process, and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Write down what a test costs: of the processor, since the clock depends on what else runs."""
    before = processor_seconds()
    try:
        return (yield)
    finally:
        item.user_properties.append((SPENT, processor_seconds() - before))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind)]
    spent = [(dict(one.user_properties).get(SPENT, 0.0), one.nodeid) for one in reports]
    over = sorted({one for one in spent if one[0] > BUDGET}, reverse=True)
    if over:
        terminalreporter.section(f"over the budget of {BUDGET:g} {SPENT}")
    for seconds, name in over:
        terminalreporter.line(f"{seconds:6.1f} {name}")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """The tensors are tiny, so a second thread only costs, and it could reorder sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def float64() -> Iterator[None]:
    """For a whole module. The default and not .double(): positions, too, must be born in it."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and uploads of a test go into a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts trainers of which none need import torch."""
    with open_nursery() as made:
        yield made


@pytest.fixture(scope="module")
def saved() -> Checkpoint:
    from tests.support.checkpoint_files import make

    return make()


@pytest.fixture(scope="module")
def reverse() -> Checkpoint:
    """The bundled model that reverses letters: one layer a stack, two heads."""
    return Checkpoint.load(bundled_file("reverse"))


@pytest.fixture(scope="module")
def sort() -> Checkpoint:
    """The bundled model that sorts letters: two layers a stack, four heads."""
    return Checkpoint.load(bundled_file("sort"))


@pytest.fixture(scope="module")
def content(saved: Checkpoint) -> bytes:
    return saved.to_bytes()


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """One Chromium for all tests of a process: Playwright cannot be started twice in it."""
    from tests.support.server import running_browser

    # A page that is opened again finds the app's scripts compiled.
    with running_browser("--js-flags=--no-flush-bytecode") as running:
        yield running

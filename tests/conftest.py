"""Settings and fixtures of all tests: one thread, repeatable examples, shared checkpoints."""

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

# Called before these modules are imported: else their failing asserts would not show values.
pytest.register_assert_rewrite(
    "tests.support.checkpoint_files", "tests.support.pytorch_models", "tests.support.wild_models"
)

hypothesis.settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # wall-clock time varies with load
)
hypothesis.settings.load_profile("repeatable")


TESTS = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Add a marker per test folder, so that ``-m`` can select or leave out several."""
    for folder in sorted(path.name for path in TESTS.iterdir() if (path / "__init__.py").exists()):
        config.addinivalue_line("markers", f"{folder}: the tests in tests/{folder}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder, *rest = item.path.relative_to(TESTS).parts
        if rest:
            item.add_marker(folder)


BUDGET = 3.0
"""CPU seconds that a test should not exceed; tests that do are listed after the run."""
SPENT = "seconds of the processor"


def processor_seconds() -> float:
    """CPU seconds used by this process and its ended children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Record a test's CPU time; wall-clock time would depend on what else runs."""
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
    """Use one torch thread: more would slow down tiny tensors and could reorder sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def float64() -> Iterator[None]:
    """Make float64 the default dtype for a module; ``.double()`` leaves positions imprecise."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a temporary folder, which then gets the runs and uploads of the test."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """A process that forks trainers, so that none of them has to import torch."""
    with open_nursery() as made:
        yield made


@pytest.fixture(scope="module")
def saved() -> Checkpoint:
    from tests.support.checkpoint_files import make

    return make()


@pytest.fixture(scope="module")
def reverse() -> Checkpoint:
    """The bundled model that reverses letters: one layer per stack, two heads."""
    return Checkpoint.load(bundled_file("reverse"))


@pytest.fixture(scope="module")
def sort() -> Checkpoint:
    """The bundled model that sorts letters: two layers per stack, four heads."""
    return Checkpoint.load(bundled_file("sort"))


@pytest.fixture(scope="module")
def content(saved: Checkpoint) -> bytes:
    return saved.to_bytes()


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """One Chromium for all tests of a process, in which Playwright can start only once."""
    from tests.support.server import running_browser

    # Keep the app's scripts compiled for the next time a page is opened.
    with running_browser("--js-flags=--no-flush-bytecode") as running:
        yield running

"""Fixtures: one page for all tests of widgets; an error on it fails the test."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.bare_page import Bare, one_page


@pytest.fixture(scope="session")
def bare_and_faults(browser: Browser) -> Iterator[tuple[Bare, list[str]]]:
    with one_page(browser) as made:
        yield made


@pytest.fixture
def bare(bare_and_faults: tuple[Bare, list[str]]) -> Iterator[Bare]:
    """A function that shows a widget with its data: ``bare(WIDGET, data, width, scheme)``."""
    made, faults = bare_and_faults
    faults.clear()
    yield made
    assert not faults

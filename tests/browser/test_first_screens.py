"""A page's main content is visible without scrolling; see ``benchmarks.first_screens``."""

import shutil

import pytest

from benchmarks.first_screens import (
    MANY,
    OVERVIEW,
    RUNS,
    TRAINED,
    WIDTHS,
    Screen,
    measure,
    of_run,
    trained,
)
from tests.browser.conftest import NewPage
from tests.runs.test_table import make, some_metrics
from tests.support.server import Server


@pytest.mark.parametrize("screen", [OVERVIEW, RUNS], ids=lambda screen: screen.name)
def test_one_screen_holds_it(server: Server, new_page: NewPage, screen: Screen) -> None:
    root = server.folder / "runs"
    made = [make(root, f"run {seed}", some_metrics(seed)) for seed in range(MANY)]
    found = measure(new_page(), server.url, screen, WIDTHS[0])
    for run in made:
        shutil.rmtree(run.path)
    assert not found.missed, found.height
    assert found.sentence
    assert found.picture


@pytest.mark.long
@pytest.mark.parametrize("name", TRAINED)
def test_a_run_is_no_higher_however_it_ended(server: Server, new_page: NewPage, name: str) -> None:
    run = trained(name, server.folder / "runs")
    found = measure(new_page(), server.url, of_run(name, run), WIDTHS[0])
    shutil.rmtree(run.path)
    assert not found.missed, found.height
    assert found.sentence
    assert found.picture

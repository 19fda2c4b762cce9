"""The time slider of a run in training; tests/widgets tests the component alone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.access import PHONE, assert_accessible_in_both_themes, assert_not_cut_off, resize
from tests.support.places import ROOT
from tests.support.recorded_run import record_run
from tests.support.server import Server, running_server, settle
from transformer.config import RunConfig
from transformer.runs.directory import Run
from transformer.tasks.presets import prepare

STEPS = 80
APP = ROOT / "tests" / "support" / "timeline_app.py"


def config() -> RunConfig:
    training = {"steps": STEPS, "batch_size": 16, "eval_every": 20, "threads": 1}
    return prepare("sort", training={**training, "eval_examples": 16, "final_examples": 16})[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that shows recorded runs."""
    with running_server(tmp_path_factory.mktemp("recorded"), APP) as server:
        yield server
    assert not server.faults()


def open_slider(page: Page, runs: Server, run: Run, more: str = "") -> None:
    page.goto(f"{runs.url}/?run={run.id}{more}")
    expect(page.get_by_role("slider")).to_be_visible()
    settle(page)
    page.get_by_label("Heads").select_option("all")  # by default, one kind of many heads


def place(page: Page) -> tuple[int, int]:
    """The slider's current moment, counted from 0, and its last."""
    slider = page.get_by_role("slider")
    now, last = (slider.get_attribute(f"aria-value{end}") for end in ("now", "max"))
    assert now
    assert last
    return int(now), int(last)


def test_new_moments_arrive_without_moving_the_person(runs: Server, new_page: NewPage) -> None:
    at_work = record_run(config(), runs.folder / "runs")
    for _ in range(5):
        run = next(at_work)
    page = new_page()
    open_slider(page, runs, run, "&live")
    slider = page.get_by_role("slider")
    assert place(page) == (5, 5)  # step 0 and five more
    slider.focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Encoder self-attention, layer 2, head 3").click()
    slider.focus()
    slider.evaluate("slider => { slider.dataset.kept = 'yes'; }")
    for _ in range(3):
        next(at_work)
    expect(slider).to_have_attribute("aria-valuemax", "8")
    assert place(page) == (2, 8)
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("data-kept", "yes")  # updated, not created again
    expect(page.locator(".large h4")).to_have_text("Encoder self-attention, layer 2, head 3")
    page.keyboard.press("End")  # at the newest moment, it follows the run
    next(at_work)
    expect(slider).to_have_attribute("aria-valuenow", "9")
    settle(page)
    assert_accessible_in_both_themes(page)
    resize(page, PHONE)
    assert_not_cut_off(page)

"""The time slider, the loss curve above it and the examples below it, of a run recorded here."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.access import PHONE, assert_accessible_in_both_themes, assert_not_cut_off, resize
from tests.support.recorded_run import record_run
from tests.support.server import (
    ROOT,
    Server,
    settle,
    start_server,
    stop_server,
    watch_traffic,
)
from transformer.config import RunConfig
from transformer.runs.attention import AttentionHistory
from transformer.runs.directory import Run
from transformer.tasks.presets import prepare

STEPS = 80
APP = ROOT / "tests" / "support" / "timeline_app.py"


def config() -> RunConfig:
    training = {"steps": STEPS, "batch_size": 16, "eval_every": 20, "threads": 1}
    return prepare("sort", training={**training, "eval_examples": 16, "final_examples": 16})[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of recorded runs."""
    server = start_server(tmp_path_factory.mktemp("recorded"), APP)
    try:
        yield server
    finally:
        stop_server(server)
    assert not server.faults()


@pytest.fixture(scope="module")
def run(runs: Server) -> Run:
    *_, run = record_run(config(), runs.folder / "runs")
    return run


def open_slider(page: Page, runs: Server, run: Run, more: str = "") -> None:
    page.goto(f"{runs.url}/?run={run.id}{more}")
    expect(page.get_by_role("slider")).to_be_visible()
    settle(page)
    page.get_by_label("Heads").select_option("all")  # of many heads, one kind is shown at first


def place(page: Page) -> tuple[int, int]:
    """At which moment the slider stands, counted from 0, and which is the last."""
    slider = page.get_by_role("slider")
    now, last = (slider.get_attribute(f"aria-value{end}") for end in ("now", "max"))
    assert now
    assert last
    return int(now), int(last)


def large_map(page: Page) -> np.ndarray:
    """How dark each cell of the large map is: [query, key]."""
    red = page.locator("canvas.map").evaluate(
        "canvas => [canvas.height, canvas.width, Array.from(canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 4 === 0))]"
    )
    return 255 - np.array(red[2]).reshape(red[0], red[1])


def test_every_moment_shows_its_own_weights_and_asks_the_server_nothing(
    runs: Server, run: Run, new_page: NewPage
) -> None:
    history = AttentionHistory.load(run.path)
    assert history is not None
    page = new_page()
    traffic = watch_traffic(page)
    open_slider(page, runs, run)
    assert place(page) == (len(history.steps) - 1, len(history.steps) - 1)
    assert traffic
    page.wait_for_timeout(300)
    traffic.clear()
    page.get_by_role("button", name="Decoder self-attention, layer 1, head 2").click()
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    for moment in range(12):
        assert place(page)[0] == moment
        step = int(history.steps[moment])
        expect(slider).to_have_attribute("aria-valuetext", re.compile(f"^Step {step} of {STEPS}"))
        weights = history.weights(0, "decoder")[moment, 0, 1].astype(int)
        seen = large_map(page)
        # Of two cells that may be looked at, the darker is the one with more weight.
        rows, columns = np.tril_indices(len(weights))
        order = np.argsort(weights[rows, columns], kind="stable")
        assert (np.diff(seen[rows, columns][order]) >= 0).all()
        right = int(history.right(0)[moment].sum())
        expect(page.locator(".answers .verdict").first).to_contain_text(f"{right}")
        page.keyboard.press("ArrowRight")
    page.keyboard.press("PageDown")
    assert place(page)[0] == 2
    page.keyboard.press("End")
    assert place(page)[0] == len(history.steps) - 1
    page.get_by_role("button", name="Where the loss fell fastest").click()
    box = slider.bounding_box()
    assert box
    page.mouse.click(box["x"] + 36, box["y"] + 14)
    assert place(page)[0] == 0
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 14)
    page.mouse.up()
    assert place(page)[0] == len(history.steps) - 1
    assert not traffic


def test_another_example_keeps_the_moment(runs: Server, run: Run, new_page: NewPage) -> None:
    page = new_page()
    open_slider(page, runs, run)
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    before = page.locator(".rows span").all_inner_texts()
    page.get_by_label("Example").select_option("1")
    expect(page.locator(".rows span")).not_to_have_text(before)
    assert place(page)[0] == 10


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
    expect(slider).to_have_attribute("data-kept", "yes")  # drawn on, not made anew
    expect(page.locator(".large h4")).to_have_text("Encoder self-attention, layer 2, head 3")
    page.keyboard.press("End")  # who stands at the newest moment goes on with the run
    next(at_work)
    expect(slider).to_have_attribute("aria-valuenow", "9")


def test_everything_is_readable_and_fits(runs: Server, run: Run, new_page: NewPage) -> None:
    page = new_page()
    open_slider(page, runs, run)
    assert_accessible_in_both_themes(page)
    resize(page, PHONE)
    assert_not_cut_off(page)

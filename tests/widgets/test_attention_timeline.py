"""The time slider: each moment shows its weights, it plays, and new moments keep the position."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from pages.components.widgets.attention_timeline import WIDGET, pack
from tests.support.bare_page import Bare, BarePage
from tests.support.recorded_run import record_run
from transformer.config import RunConfig
from transformer.runs.attention import AttentionHistory, moments
from transformer.runs.metrics import Samples
from transformer.tasks.presets import prepare

STEPS = 40
CURVES = {
    "train": [[step, 3.0 - step / 50] for step in range(1, STEPS + 1)],
    "evaluation": [[0, 3.2], [20, 2.7], [40, 2.3]],
    "untrained": 3.2,
    "uniform": 3.3,
    "unigram": 2.9,
    "steps": STEPS,
    "evaluated_on": "held-out pairs",
}


def config() -> RunConfig:
    training = {"steps": STEPS, "batch_size": 16, "eval_every": 20, "threads": 1}
    training |= {"eval_examples": 8, "final_examples": 8}
    return prepare("sort", "tiny", training=training)[1]


@dataclass
class Recorded:
    """One run's attention histories, one after each recorded moment."""

    run_id: str
    histories: list[AttentionHistory]
    samples: list[Samples]

    def message(self, example: int = 0, moment: int = -1, **more: Any) -> bytes:
        history = self.histories[moment]
        return pack(history, example, self.run_id, {**CURVES, **more}, self.samples, "Look.")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    histories = []
    for run in record_run(config(), tmp_path_factory.mktemp("runs")):
        history = AttentionHistory.load(run.path)
        assert history is not None
        histories.append(history)
    return Recorded(run.id, histories, run.samples())


def place(page: Page) -> tuple[int, int]:
    """The slider's current moment, counted from 0, and its last."""
    slider = page.get_by_role("slider")
    return int(slider.get_attribute("aria-valuenow") or -1), int(
        slider.get_attribute("aria-valuemax") or -1
    )


def large_map(page: Page) -> np.ndarray:
    """The darkness of each cell of the large map, from 0 to 255: [query, key]."""
    red = page.locator("canvas.map").evaluate(
        "canvas => [canvas.height, canvas.width, Array.from(canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 4 === 0))]"
    )
    return 255 - np.array(red[2]).reshape(red[0], red[1])


def moments_told(shown: BarePage) -> None:
    """Record the moments that the widget announces to the page's chart, in ``window.told``."""
    shown.page.evaluate(
        "() => { window.told = [];"
        " addEventListener('workbench-moment', (event) => told.push(event.detail)); }"
    )


def test_every_moment_shows_its_own_weights(bare: Bare, recorded: Recorded) -> None:
    shown = bare(WIDGET, recorded.message())
    page, history = shown.page, recorded.histories[-1]
    last = len(history.steps) - 1
    assert place(page) == (last, last)
    page.get_by_role("button", name="Decoder self-attention, layer 1, head 2").click()
    slider = page.get_by_role("slider")
    slider.focus()
    shown.press("Home")
    moments_told(shown)
    for moment in range(12):
        assert place(page)[0] == moment
        step = int(history.steps[moment])
        expect(slider).to_have_attribute("aria-valuetext", re.compile(f"^Step {step} of {STEPS}"))
        weights = history.weights(0, "decoder")[moment, 0, 1].astype(int)
        seen = large_map(page)
        # Of two allowed cells, the one with more weight is at least as dark.
        rows, columns = np.tril_indices(len(weights))
        order = np.argsort(weights[rows, columns], kind="stable")
        assert (np.diff(seen[rows, columns][order]) >= 0).all()
        # Cells that the causal mask hides are grey, whatever their weight.
        assert set(seen[np.triu_indices(len(weights), 1)]) == {255 - 232}
        right = int(history.right(0)[moment].sum())
        expect(page.locator(".answers .verdict").first).to_contain_text(f"{right}")
        shown.press("ArrowRight")
    told = page.evaluate("told")
    assert [one["step"] for one in told] == history.steps[1:13].tolist()
    assert {one["run"] for one in told} == {recorded.run_id}
    shown.press("PageDown")
    assert place(page)[0] == 2
    shown.press("End")
    assert place(page)[0] == last
    page.get_by_role("button", name="Where the loss fell fastest").click()
    box = slider.bounding_box()
    assert box
    page.mouse.click(box["x"] + 36, box["y"] + 14)
    assert place(page)[0] == 0
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 14)
    page.mouse.up()
    assert place(page)[0] == last
    assert not shown.sent


def test_a_step_clicked_in_the_chart_is_gone_to(bare: Bare, recorded: Recorded) -> None:
    page, steps = bare(WIDGET, recorded.message()).page, recorded.histories[-1].steps.tolist()

    def ask(run: str, step: int) -> None:
        page.evaluate(
            "(detail) => dispatchEvent(new CustomEvent('workbench-moment-wanted', { detail }))",
            {"run": run, "step": step},
        )

    ask(recorded.run_id, steps[4])
    assert place(page)[0] == 4
    ask("another", steps[2])
    assert place(page)[0] == 4
    page.get_by_role("application").focus()
    page.keyboard.press("ArrowRight")  # chooses a cell: its weight is drawn at every moment
    line = page.locator("polyline.cell")
    expect(line).to_be_visible()
    assert len((line.get_attribute("points") or "").split()) == len(steps)


def test_playing_goes_to_the_end_and_can_be_paused(bare: Bare, recorded: Recorded) -> None:
    page = bare(WIDGET, recorded.message()).page
    page.get_by_label("Speed").select_option("fast")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    stood = place(page)[0]
    assert 0 <= stood < place(page)[1]
    page.wait_for_timeout(200)
    assert place(page)[0] == stood
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", str(place(page)[1]))
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_who_asks_for_less_motion_gets_a_moment_a_second(bare: Bare, recorded: Recorded) -> None:
    page = bare(WIDGET, recorded.message(), motion="reduce").page
    expect(page.get_by_label("Speed")).to_have_count(0)
    # The test does not wait: timers fire at once, and their delays are recorded.
    page.evaluate(
        """() => {
          const wait = window.setTimeout;
          window.waits = [];
          window.setTimeout = (done, time) => { window.waits.push(time); return wait(done, 0); };
        }"""
    )
    page.get_by_role("button", name="Play").click()
    last = place(page)[1]
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", str(last))
    assert page.evaluate("waits") == [1000] * last


def test_another_example_keeps_the_moment(bare: Bare, recorded: Recorded) -> None:
    shown = bare(WIDGET, recorded.message())
    page = shown.page
    page.get_by_role("slider").focus()
    shown.press("Home", "PageUp")
    before = page.locator(".rows span").all_inner_texts()
    page.get_by_label("Example").select_option("1")
    assert shown.sent == [["state", "example", 1]]
    shown.draw(recorded.message(example=1))
    expect(page.locator(".rows span")).not_to_have_text(before)
    assert place(page)[0] == 10


def test_new_moments_arrive_without_moving_the_person(bare: Bare, recorded: Recorded) -> None:
    shown = bare(WIDGET, recorded.message(moment=4))
    page, slider = shown.page, shown.page.get_by_role("slider")
    assert place(page) == (5, 5)  # step 0 and five more
    slider.focus()
    shown.press("Home", "ArrowRight", "ArrowRight")
    page.get_by_role("button", name="Encoder self-attention, layer 1, head 2").click()
    page.get_by_role("application").focus()
    shown.press("ArrowRight")  # a cell, to follow its weight
    slider.focus()
    slider.evaluate("slider => { slider.dataset.kept = 'yes'; }")
    shown.draw(recorded.message(moment=7))
    assert place(page) == (2, 8)
    expect(slider).to_be_focused()
    expect(slider).to_have_attribute("data-kept", "yes")  # updated, not created again
    expect(page.locator(".large h4")).to_have_text("Encoder self-attention, layer 1, head 2")
    # The readout has the cell's weight at the newest moment, too.
    weights = recorded.histories[7].weights(0, "encoder")[:, 0, 1, 0, 0] / 255
    expect(page.locator(".readout")).to_contain_text(
        f"{weights[2]:.2f} now, {weights[0]:.2f} at first, {weights[8]:.2f} at last."
    )
    shown.press("End")  # at the newest moment, it follows the run
    shown.draw(recorded.message(moment=8))
    assert place(page) == (9, 9)


def test_the_slider_of_few_moments(bare: Bare, recorded: Recorded) -> None:
    """Two moments: before and after the first update."""
    assert len(moments(1)) == 2
    page = bare(WIDGET, recorded.message(moment=0)).page
    assert place(page) == (1, 1)
    page.get_by_role("button", name="Where the loss fell fastest").click()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuenow", "1")


def test_it_is_painted_again_in_another_theme(bare: Bare, recorded: Recorded) -> None:
    shown = bare(WIDGET, recorded.message())
    light = large_map(shown.page)
    shown.page.emulate_media(color_scheme="dark")
    shown.draw(recorded.message())
    dark = large_map(shown.page)
    assert (light.argmax() == dark.argmin()).all()
    assert dark.mean() > light.mean()
    expect(shown.page.locator(".attention_timeline.dark")).to_have_count(1)

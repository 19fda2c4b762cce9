"""The card beside the map: a head's finding, one weight's arithmetic, its switch; the help."""

import re

import pytest
import torch
from playwright.sync_api import expect

from pages.components.shared.inspection import inspect
from pages.components.widgets.attention_explorer import Side
from tests.support.bare_page import Bare
from tests.support.explorer import attention_of
from tests.widgets.test_attention_explorer import Alone, side
from transformer.analysis.heads import Head
from transformer.analysis.one_weight import one_weight
from transformer.checkpoint import Checkpoint


@pytest.fixture
def explorer(bare: Bare, sort: Checkpoint) -> Alone:
    return Alone(bare, side(attention_of(sort, "workbench", "bcehknorw")))


def test_the_card_has_the_sum_behind_the_weight(bare: Bare, sort: Checkpoint) -> None:
    found = inspect(sort, "workbench")
    shown = Alone(bare, Side("sort", found.kinds, findings={"cross.1.0": "It sorts <b>."}))
    shown.open(cell="2.5")
    expect(shown.page.locator(".card p").first).to_have_text("It sorts <b>.")
    source, read = torch.tensor([found.source]), torch.tensor([found.read])
    lines = shown.page.locator(".sum dd")
    for name, row, column in (("cross.1.0", 2, 5), ("decoder.0.1", 4, 1), ("encoder.1.3", 9, 0)):
        numbers = one_weight(sort.model, source, read, Head.parse(name), row)
        shown.head(name).click()
        shown.point_at(row, column)
        said = [float(text.replace("−", "-").split(" ")[0]) for text in lines.all_inner_texts()]
        share = 100 * numbers.weights[column]
        expected = [numbers.products[column], numbers.scores[column], share]
        assert said == pytest.approx(expected, abs=0.006)
    expect(shown.page.locator(".sum dt")).to_have_text(["q·k", "÷ √16", "softmax"])
    shown.head("decoder.0.1").click()
    shown.point_at(0, 5)
    expect(lines).to_have_text(["−∞: not written yet", "exactly 0"])
    shown.point_at(4, 1)
    shown.stage.click()
    shown.page.get_by_role("button", name="All numbers").click()
    kind, trigger, place = shown.shown.sent[-1]
    assert (kind, trigger) == ("trigger", "numbers")
    assert "head=decoder.0.1" in place
    # No head computed a mean over heads, so the card shows no arithmetic for it.
    shown.head("cross.1.mean").click()
    shown.point_at(2, 5)
    expect(shown.page.locator(".sum dt")).to_have_count(0)


def test_a_head_is_switched_off_on_itself(explorer: Alone) -> None:
    explorer.open()
    power, tile = explorer.page.locator(".power"), explorer.head("cross.1.0")
    power.click()
    assert explorer.place == "without=cross.1.0"  # the default head is left out of the address
    badge = explorer.page.locator(".large h3 .badge")
    expect(badge).to_have_text("switched off")
    expect(explorer.page.locator(".card")).to_contain_text(
        "Switched off: its weights stay as shown"
    )
    expect(power).to_have_text("Switch it on again")
    expect(tile).to_have_attribute("aria-label", re.compile("switched off$"))
    explorer.head("encoder.0.2").click()
    expect(power).to_have_text("Switch this head off")
    expect(badge).to_have_count(0)
    power.click()
    assert "without=cross.1.0+encoder.0.2" in explorer.place
    tile.click()
    power.click()
    assert explorer.place.endswith("without=encoder.0.2")
    expect(tile).to_have_attribute("aria-label", "Cross-attention, layer 2, head 1")
    explorer.head("cross.1.mean").click()
    expect(power).to_be_disabled()


def test_help_folds_once_it_was_used(explorer: Alone) -> None:
    explorer.open()
    explorer.page.evaluate("localStorage.clear()")
    explorer.open()
    keys = explorer.page.get_by_text("Keys: arrows walk")
    expect(keys).to_be_visible()
    explorer.head("encoder.0.2").click()
    expect(keys).to_be_visible()  # it folds only when the page is opened again
    explorer.open()
    expect(keys).to_be_hidden()
    explorer.page.evaluate("localStorage.clear()")

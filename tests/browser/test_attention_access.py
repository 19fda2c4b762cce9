"""The attention explorer by keyboard alone, for screen readers, and on a phone."""

import json
import re

from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.support.access import (
    FRAME,
    assert_accessible_in_both_themes,
    assert_fit_for_all,
    assert_not_cut_off,
)
from tests.support.explorer import Explorer, Truth, press
from tests.support.server import Server, settle


def test_every_action_by_keyboard(server: Server, new_page: NewPage, truth: Truth) -> None:
    page = new_page()
    page.goto(
        f"{server.url}/attention?checkpoint=sort&input=workbench&head=cross.1.0&compare=untrained"
    )
    explorer = Explorer(page, server)
    heading = explorer.large.get_by_role("heading").first
    expect(heading).to_be_visible(timeout=60_000)
    settle(page)
    # Heads: Tab stops once in each attention, arrows move inside; a focused head is previewed.
    explorer.head("encoder.0.0").focus()
    press(page, "ArrowRight", "ArrowDown")
    expect(heading).to_have_text("Encoder self-attention, layer 2, head 2")
    press(page, "Enter", "ArrowRight", "Shift+Enter")  # a second head opens the lines
    expect(page.locator(".chip")).to_have_count(4)
    expect(explorer.head("encoder.1.2")).to_have_attribute("aria-pressed", "true")
    press(page, "i")
    expect(page.locator(".chip")).to_have_count(1)
    press(page, "i")
    expect(page.locator(".chip").first).to_be_visible()
    press(page, "Tab")  # out of this attention and into the next
    expect(explorer.head("decoder.0.0")).to_be_focused()
    # Two models: their difference, then side by side.
    page.locator("[data-show=difference]").focus()
    press(page, "Enter")
    expect(page.locator(".one")).to_have_count(1)
    expect(page.locator("[data-show=difference]")).to_be_focused()
    page.locator("[data-show='']").focus()
    press(page, "Enter")
    # From the lines back to the map.
    page.get_by_role("button", name="Map", exact=True).focus()
    press(page, "Enter")
    # Cells: arrows move, Enter pins a cell, Escape unpins it.
    explorer.stage.focus()
    press(page, "ArrowRight", "ArrowDown", "Enter")
    page.wait_for_url(re.compile(r"cell=1\.0"))
    press(page, "Escape")
    page.wait_for_url(lambda url: "cell=" not in url)
    expect(explorer.readout).to_contain_text("Point at a cell")
    # The cell at the cursor is forgotten when the focus moves away.
    press(page, "ArrowRight")
    expect(explorer.readout).to_contain_text("(row 1) looks at")
    # The threshold, the table, the pictures.
    page.locator("summary").filter(has_text="Settings").focus()
    press(page, "Enter")
    page.get_by_label("Hide links below").focus()
    expect(explorer.readout).to_contain_text("Point at a cell")
    press(page, *["ArrowRight"] * 5)
    expect(page.locator(".controls output")).to_contain_text("0.05: hides")
    page.locator("summary").filter(has_text="as a table").focus()
    press(page, "Enter")
    cell = page.locator(".table tbody tr").first.locator("td").first
    expect(cell).to_have_text(re.compile(r"^\d\.\d{4}$"))
    for name in ("PNG", "SVG"):
        page.get_by_role("button", name=name, exact=True).focus()
        with page.expect_download():
            press(page, "Enter")
    # A head is switched off by the button on the head itself.
    page.locator(".power").focus()
    press(page, "Enter")
    expect(page.get_by_text("Without encoder 2.3")).to_be_visible()
    press(page, "Enter")
    expect(page.get_by_text("Without encoder 2.3")).to_have_count(0)
    # A head's lines are hidden; tokens: arrows move, Enter picks, Shift+Enter adds, Escape clears.
    page.get_by_role("button", name="Lines", exact=True).focus()
    press(page, "Enter")
    page.locator(".chip").first.focus()
    press(page, "Enter")
    expect(page.locator(".chip").first).to_have_attribute("aria-pressed", "false")
    explorer.token("s0").focus()
    press(page, "ArrowDown")
    assert explorer.lit(".tokens button") == ["s1", "s1"]
    press(page, "Enter", "ArrowDown", "Shift+Enter")
    page.wait_for_url(re.compile(r"tokens=s1(\+|%20)s2"))
    press(page, "Escape")
    page.wait_for_url(lambda url: "tokens=" not in url)
    # The scatter of heads: arrows move in the order of the x axis, Enter opens the head.
    points = page.locator(".head_scatter .point")
    expect(points).to_have_count(24)
    page.locator(".head_scatter .point[tabindex='0']").focus()
    press(page, *["ArrowLeft"] * 24, "ArrowRight")
    second = page.locator(".head_scatter .point:focus")
    title = page.locator(".head_scatter .told").inner_text().split(":")[0]
    press(page, "Enter")
    expect(heading).to_have_text(title)
    expect(second).to_have_attribute("aria-pressed", "true")
    # The panels below, and a study in one of them.
    page.locator(".power").focus()
    press(page, "Enter")
    settle(page)
    page.get_by_role("radio", name="All heads").focus()
    press(page, "ArrowRight", "Space")
    settle(page)
    page.get_by_role("button", name="Exact match on 200").focus()
    press(page, "Enter")
    expect(page.get_by_test_id("stMetricValue")).to_be_visible(timeout=60_000)


PANELS = {
    "look": "",
    "number": "untrained",
    "cause": "input",
    "evidence": "",
    "export": "",
}


def test_no_accessibility_violation_in_any_panel(server: Server, new_page: NewPage) -> None:
    page = new_page()
    explorer = Explorer(page, server)
    seen: tuple[str, ...] = ()
    for panel, compare in PANELS.items():
        view = "lines" if panel in ("cause", "export") else ""
        explorer.open(panel=panel, compare=compare, view=view, cell="2.5", tokens="w2")
        explorer.settings()
        if not view:
            page.locator("summary").filter(has_text="as a table").click()
        if panel in ("cause", "evidence"):
            expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        settle(page)
        # Each check ends in the other theme, so panels open in light and in dark in turn.
        assert_accessible_in_both_themes(page, panel, seen)
        # Once a panel with lines has been checked, both the map and the lines have been.
        seen = (*FRAME, ".attention_explorer") if panel in ("cause", "evidence") else FRAME


def test_the_studies_of_which_heads_can_go_are_accessible_and_fit_a_phone(
    server: Server, new_page: NewPage
) -> None:
    page = new_page(scheme="dark")
    page.goto(f"{server.url}/attention?checkpoint=reverse&input=abc&panel=spare")
    settle(page)
    drawn = page.locator(".js-plotly-plot .main-svg:first-child")
    for number, name in enumerate(("Switch off all 6 heads", "Shuffle each head's weights")):
        button = page.get_by_role("button", name=name)
        button.focus()
        press(page, "Enter")
        expect(drawn).to_have_count(number + 1)
        settle(page)
    expect(page.get_by_text("None can go")).to_be_visible()
    assert_fit_for_all(page, "which can go", (*FRAME, ".attention_explorer"))


def test_a_hundred_tokens_fit_a_phone(server: Server, new_page: NewPage) -> None:
    page = new_page(width=400)
    text = "abcdefghij" * 10
    query = f"checkpoint=sort&input={text[:99]}&output={text[:99]}&view=lines"
    page.goto(f"{server.url}/attention?{query}")
    expect(page.locator(".bands canvas")).to_be_visible()
    settle(page)
    assert_not_cut_off(page)
    assert (
        json.loads(page.locator(".tokens").first.evaluate("(box) => box.children.length + ''")) > 99
    )

"""A browser session has one current model and one current input; every page opens with them."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.support.places import bundled_file
from tests.support.server import Server, press_train, settle, upload

PAGES = ("Attention", "Decode", "Checkpoints")


def go(page: Page, name: str) -> None:
    """Open a page through the sidebar."""
    page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True).click()
    title = "Transformer Workbench" if name == "Overview" else name
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible()
    settle(page)


def chip(page: Page) -> Locator:
    """The label of the current model in the sidebar."""
    return page.locator("div.current-model b")


def expect_shown(page: Page, name: str) -> None:
    """Check that the checkpoint of this name is chosen on the page."""
    chooser = page.get_by_role("combobox", name="Checkpoint")
    expect(chooser).to_have_value(re.compile(f"^{re.escape(name)}"))


def test_a_run_just_trained_is_what_all_pages_show(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/train?task=reverse&preset=tiny&steps=20&evaluate_every=10&d_model=32")
    press_train(page, server)
    settle(page)
    go(page, "Runs")  # while the run is training
    beside = page.get_by_test_id("stSidebar")
    expect(beside.get_by_role("progressbar")).to_be_visible()
    expect(beside.get_by_role("progressbar")).to_have_count(0, timeout=90_000)  # it has ended
    name = chip(page).inner_text()
    assert "step 20" in name
    for title in PAGES:
        go(page, title)
        expect_shown(page, name)
        expect(chip(page)).to_have_text(name)
    go(page, "Train")
    page.wait_for_url(re.compile("run="))
    other = page.context.new_page()
    other.goto(f"{server.url}/attention")
    settle(other)
    expect_shown(other, name)
    other.reload()
    settle(other)
    expect_shown(other, name)


def test_a_word_given_on_the_overview_goes_along(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(server.url)
    field = page.get_by_role("textbox", name="Type a name or a word")
    field.fill("Knight")
    field.press("Enter")
    expect(page.get_by_text("N AY T").first).to_be_visible()
    settle(page)
    entries = page.evaluate("history.length")
    go(page, "Attention")
    given = page.get_by_label("Input", exact=True)
    expect(given).to_have_value("knight")
    expect_shown(page, "English pronunciation")
    assert page.evaluate("history.length") == entries + 1
    given.fill("laughter")
    given.press("Enter")
    page.wait_for_url(re.compile("input=laughter"))
    settle(page)
    for title in ("Train", "Decode"):
        go(page, title)
    expect(given).to_have_value("laughter")
    page.get_by_label("Input", exact=True).fill("island")
    page.get_by_label("Input", exact=True).press("Enter")
    page.wait_for_url(re.compile("input=island"))
    settle(page)
    go(page, "Overview")
    expect(field).to_have_value("island")
    go(page, "Attention")
    expect(given).to_have_value("island")
    page.reload()
    settle(page)
    expect(given).to_have_value("island")
    go(page, "Overview")
    page.reload()
    expect(field).to_have_value("island")


def test_back_and_explicit_links_win(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/attention?checkpoint=sort&input=hello")
    settle(page)
    go(page, "Runs")
    page.get_by_role("button", name="change", exact=True).click()
    page.get_by_role("button", name=re.compile("^Dates .*bundled")).click()
    settle(page)
    expect(chip(page)).to_have_text("Dates")
    page.go_back()
    expect(page.get_by_label("Input", exact=True)).to_have_value("hello")
    settle(page)
    expect_shown(page, "Sort letters")
    expect(chip(page)).to_have_text("Sort letters")
    page.get_by_role("button", name="change", exact=True).click()
    page.get_by_role("button", name=re.compile("^Reverse letters .*bundled")).click()
    page.wait_for_url(re.compile("checkpoint=reverse"))
    settle(page)
    expect_shown(page, "Reverse letters")


def test_a_file_brought_is_what_all_pages_show(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/checkpoints")
    settle(page)
    content = (bundled_file("sort")).read_bytes()
    upload(page, "mine.safetensors", content)
    expect(page.get_by_text("is here and chosen")).to_be_visible()
    settle(page)
    expect(chip(page)).to_have_text("mine.safetensors")
    for title in ("Attention", "Decode"):
        go(page, title)
        expect_shown(page, "mine.safetensors · 99.8 % right · uploaded")
    go(page, "Overview")
    expect(chip(page)).to_have_text("mine.safetensors")

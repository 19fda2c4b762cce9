"""The one-minute tour on the real pages, by mouse and by keyboard."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.server import Server, settle

STEPS = ("Overview", "Overview", "Attention", "Train", "Train")
CLICKS_SECONDS = 60


def press(page: Page, name: str, by: str) -> None:
    button = page.get_by_role("button", name=name, exact=True)
    expect(button).to_be_visible()
    if by == "mouse":
        button.click()
    else:
        button.focus()
        page.keyboard.press("Enter")
    settle(page)


def walk(page: Page, url: str, by: str) -> None:
    page.goto(url)
    expect(page.locator(".word_map .box").first).to_be_visible()
    settle(page)
    began = time.monotonic()
    press(page, "Start the one-minute tour", by)
    expect(page.get_by_text("Tour, 1 of 5.")).to_be_visible()
    settle(page)
    field = page.get_by_role("textbox", name="Type a name")
    field.fill("Thomas")
    field.press("Enter")
    expect(page.locator(".word_map button.token").first).to_have_text("TH")
    for number, title in enumerate(STEPS, start=1):
        expect(page.get_by_text(f"Tour, {number} of 5.")).to_be_visible()
        heading = "Transformer Workbench" if title == "Overview" else title
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
        if number == 2:
            sound = page.locator(".word_map button.token").nth(2)
            sound.hover() if by == "mouse" else sound.focus()
            expect(page.locator(".word_map div.token").nth(3)).to_have_text(re.compile("m[0-9]+ %"))
        if number == 3:
            expect(page.get_by_label("Input", exact=True)).to_have_value("thomas")
            expect(page.get_by_text("samoht").first).to_be_visible()
        if number < 5:
            expect(page.get_by_role("button", name="Leave the tour")).to_be_enabled()
            press(page, "Next", by)
    press(page, "Finish the tour", by)
    if by == "mouse":  # in the long tests, which run alone on the machine
        assert time.monotonic() - began < CLICKS_SECONDS
    expect(page.get_by_text("Tour, ")).to_have_count(0)


@pytest.mark.long
def test_by_mouse(server: Server, new_page: NewPage) -> None:
    walk(new_page(), server.url, "mouse")


def test_by_keyboard(server: Server, new_page: NewPage) -> None:
    walk(new_page(), server.url, "keyboard")

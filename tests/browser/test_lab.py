"""The break-it lab in a real browser: one run with a chosen fault, one with a hidden one."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.access import FRAME, assert_accessible, assert_accessible_in_both_themes
from tests.support.server import Server, settle
from transformer.config.faults import HIDDEN, reveal
from transformer.faults import FAULTS

TRAINED = 240_000
"""Timeout in milliseconds for training two short runs on a busy machine."""
FEW = "20"


def few_updates(page: Page) -> None:
    field = page.get_by_label("Updates")
    field.fill(FEW)
    field.press("Enter")
    settle(page)


def test_a_lab_run_from_prediction_to_explanation_by_keyboard(
    server: Server, new_page: NewPage
) -> None:
    page = new_page()
    page.goto(f"{server.url}/debug?debug=lab&fault=targets-not-shifted")
    settle(page)
    expect(page.get_by_text("The fault, in the batches")).to_be_visible()
    expect(page.get_by_role("button", name="Train both")).to_be_disabled()
    assert_accessible_in_both_themes(page)
    page.get_by_role("radio", name="It learns as well").press("Space")
    settle(page)
    few_updates(page)
    page.get_by_role("button", name="Train both").press("Enter")
    expect(page.get_by_text("The decoder reads the very token")).to_be_visible(timeout=TRAINED)
    settle(page)
    # After 20 updates the healthy copy has learned nothing either, so the page gives no verdict.
    expect(page.get_by_text("The healthy copy has not learned it either")).to_be_visible()
    for said in ("Training loss of both", "What both write", "What the health check says"):
        expect(page.get_by_text(said).first).to_be_visible()
    expect(page.get_by_text("Tokens right, given the true ones before")).to_be_visible()
    assert_accessible_in_both_themes(page, but=FRAME)
    # Other pages work with the faulty model, and name its fault.
    page.get_by_role("link", name="Its attention").press("Enter")
    expect(page.get_by_text("Planted fault: targets-not-shifted")).to_be_visible()
    settle(page)
    page.get_by_role("link", name="Debug").press("Enter")
    expect(page.get_by_text("The decoder reads the very token")).to_be_visible()


def test_a_blind_fault_is_found_by_the_clock(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/debug?debug=lab&lab=blind")
    settle(page)
    few_updates(page)
    page.get_by_role("button", name="Plant one").press("Enter")
    expect(page.get_by_text("It is trained. Find its fault")).to_be_visible(timeout=TRAINED)
    settle(page)
    planted = planted_in(server.folder / "runs", page.url)
    assert planted not in page.content()
    assert_accessible(page)
    other = next(name for name in ("no-residual", "no-positions") if name != planted)
    for name, said in ((other, "Not that: "), (planted, "Found in ")):
        field = page.get_by_role("combobox", name="What is wrong with it?")
        field.fill(FAULTS[name].title)
        option = page.get_by_role("option", name=FAULTS[name].title, exact=True)
        expect(option).to_be_visible()  # until the list is open, Enter chooses nothing
        field.press("Enter")
        expect(option).to_have_count(0)
        expect(field).to_have_value(FAULTS[name].title)
        page.get_by_role("button", name="Answer").press("Enter")
        expect(page.get_by_text(said)).to_be_visible()
        settle(page)
    expect(page.get_by_text("after 1 wrong")).to_be_visible()
    expect(page.get_by_text(FAULTS[planted].remedy)).to_be_visible()


def planted_in(folder: Path, address: str) -> str:
    """The hidden fault of the hunt in this address, read from the run; no page shows it."""
    [salt] = parse_qs(urlsplit(address).query)["hunt1"]
    faults = [
        json.loads(file.read_text())["training"].get("fault", "")
        for file in folder.glob("*/config.json")
    ]
    [fault] = [fault for fault in faults if fault.startswith(f"{HIDDEN}{salt}.")]
    return reveal(fault)

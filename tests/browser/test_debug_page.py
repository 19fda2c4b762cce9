"""The Debug page in a real browser: a capture and its model, a loss curve, and a symptom."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.access import PHONE, assert_accessible_in_both_themes, assert_fit_for_all
from tests.support.own_models import own
from tests.support.server import Server, settle
from transformer.doctor.capture import capture


def drop(page: Page, name: str, content: bytes) -> None:
    page.locator("input[type=file]").last.set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )


def test_a_capture_is_dropped_and_its_departure_told_step_by_step(
    server: Server, new_page: NewPage
) -> None:
    page = new_page()
    page.goto(f"{server.url}/debug")
    settle(page)
    with page.expect_download() as taken:
        page.get_by_role("button", name="capture.py").click()
    assert taken.value.suggested_filename == "capture.py"
    drop(page, "mine.safetensors", capture(own(bug="merge")))
    expect(page.get_by_text("Departs from the paper in 1 way (proven).")).to_be_visible()
    expect(page.get_by_text(re.compile(r"own_models\.py:\d+")).first).to_be_visible()
    expect(page.get_by_text("The heads are merged without being transposed back")).to_have_count(0)
    lit = page.locator(".architecture .lit")
    expect(lit).to_have_count(1)
    expect(page.get_by_role("img", name="Standing out: encoder self, its heads")).to_be_visible()
    settle(page)
    page.get_by_role("radio", name="The section").click()
    expect(lit).to_have_count(0)
    expect(page.get_by_text("of the paper again")).to_contain_text("3.2.2")
    # By keyboard to the last level of detail.
    page.get_by_role("radio", name="The section").press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.get_by_text("The heads are merged without being transposed back")).to_be_visible()
    expect(page.get_by_text("x.transpose(1, 2).flatten(-2)")).to_be_visible()
    settle(page)
    assert_accessible_in_both_themes(page)
    # Another capture, equal to the paper; then a file that is no capture.
    drop(page, "right.safetensors", capture(own(qkv="fused")))
    expect(page.get_by_text("Equal to the paper")).to_be_visible()
    expect(page.get_by_role("button", name="Certificate")).to_be_visible()
    settle(page)
    # The captured model is now the current one, and Attention opens on it.
    page.get_by_role("link", name="Look at it in Attention").click()
    expect(page.get_by_role("heading", name="Attention", exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name="Input")).to_have_value("3 4 5 6 7")
    expect(page.locator(".attention_explorer canvas").first).to_be_visible()
    page.goto(f"{server.url}/debug")
    settle(page)
    drop(page, "wrong.safetensors", b"\x02\0\0\0\0\0\0\0{}")
    expect(
        page.get_by_text("wrong.safetensors was not taken. This file is not a capture")
    ).to_be_visible()


def test_a_symptom_leads_to_suspects_with_a_test(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/debug?debug=symptom")
    settle(page)
    field = page.get_by_role("combobox")
    field.fill("the loss is nearly zero and generation is nonsense")
    expect(page.get_by_role("option").first).to_be_visible()  # until then Enter chooses nothing
    field.press("Enter")
    suspect = page.get_by_text("The heads are split by a view instead of a transpose")
    expect(suspect).to_be_visible()
    expect(page.get_by_text("Ten-second test.").first).to_be_visible()


def test_a_curve_names_its_plateau_and_suspects(server: Server, new_page: NewPage) -> None:
    page = new_page(width=PHONE, scheme="dark")
    page.goto(f"{server.url}/debug?debug=curve")
    settle(page)
    size = page.get_by_label("Tokens in the target vocabulary")
    size.fill("8")
    size.press("Enter")
    settle(page)
    table = "Wall time,Step,Value\n" + "".join(
        f"1.7e9,{step},{3.0 if step < 4 else 2.0794}\n" for step in range(40)
    )
    drop(page, "loss.csv", table.encode())
    expect(page.get_by_text("it guesses uniformly")).to_be_visible()
    expect(
        page.get_by_text("Cross-attention takes keys and values from the decoder")
    ).to_be_visible()
    expect(page.get_by_text("What a curve cannot tell.")).to_be_visible()
    settle(page)
    assert_fit_for_all(page)

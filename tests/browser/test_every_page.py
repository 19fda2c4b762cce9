"""Every page is readable in both themes, accessible, and not cut off on a phone."""

from itertools import cycle

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPage
from tests.support.access import (
    DESK,
    PHONE,
    assert_accessible_in_both_themes,
    assert_not_cut_off,
    resize,
)
from tests.support.server import Server, settle

ADDRESSES = {
    "overview": "",
    "train": "train",
    "learn": "learn?checkpoint=sort&box=decoder.1.cross.softmax&step=3&absent=yes",
}
"""Page -> address. The others, panel by panel: test_attention_access, test_decoding_batch,
test_decoding_panels, test_decoding_steps, test_checkpoint_card, test_runs_page, test_debug_page."""


@pytest.mark.parametrize(
    ("name", "scheme"), list(zip(ADDRESSES, cycle(("light", "dark")), strict=False))
)
def test_a_page_is_whole_on_a_phone_and_accessible_in_both_themes(
    server: Server, new_page: NewPage, name: str, scheme: str
) -> None:
    page = new_page(width=PHONE, scheme=scheme)
    page.goto(f"{server.url}/{ADDRESSES[name]}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settle(page)
    assert_not_cut_off(page)
    resize(page, DESK)
    if name == "overview":
        expect(page.locator(".word_map .box").first).to_be_visible()
    assert_accessible_in_both_themes(page)


def test_tokens_that_look_like_markup_are_shown_as_they_are(
    server: Server, new_page: NewPage
) -> None:
    """<eos> labels the axes of every map; rendered as markup it would be invisible."""
    page = new_page()
    page.goto(f"{server.url}/attention?checkpoint=reverse&input=abc&panel=export")
    expect(page.locator(".columns span").last).to_have_text("<eos>")
    page.get_by_text("This head as a Plotly figure").click()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.locator(".js-plotly-plot .xtick text").last).to_have_text("<eos>")

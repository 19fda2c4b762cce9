"""What holds for every page: readable in both themes, nothing cut off on a phone, accessible."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import NewPage, Server, settle

ADDRESSES = {
    "overview": "",
    "train": "train",
    "runs": "runs",
    "attention": "attention?checkpoint=sort",
    "decode": "decode?checkpoint=sort&step=2",
    "checkpoints": "checkpoints?checkpoint=reverse",
}
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ADDRESSES)
def test_page_has_no_accessibility_violation(
    server: Server, new_page: NewPage, name: str, scheme: str
) -> None:
    page = new_page(scheme=scheme)
    page.goto(f"{server.url}/{ADDRESSES[name]}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    if name in ("overview", "attention"):
        expect(page.locator(".large canvas").first).to_be_visible()
    settle(page)
    found = Axe().run(page, options=WCAG)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", ADDRESSES)
def test_nothing_is_cut_off_on_a_phone(server: Server, new_page: NewPage, name: str) -> None:
    page = new_page(width=400)
    page.goto(f"{server.url}/{ADDRESSES[name]}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settle(page)
    wide = page.evaluate(
        "() => [...document.querySelectorAll('[data-testid=stMain]')]"
        ".map((main) => main.scrollWidth - main.clientWidth)"
    )
    assert max(wide) <= 0


def test_tokens_that_look_like_markup_are_shown_as_they_are(
    server: Server, new_page: NewPage
) -> None:
    """<eos> stands on the axes of every map; as markup it would vanish."""
    page = new_page()
    page.goto(f"{server.url}/attention?checkpoint=reverse&input=abc&panel=export")
    expect(page.locator(".columns span").last).to_have_text("<eos>")
    page.get_by_text("This head as a Plotly figure").click()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.locator(".js-plotly-plot .xtick text").last).to_have_text("<eos>")

"""The browser's Back and Forward: each step undoes or redoes one whole action of the user."""

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.server import Server, settle


def named(page: Page) -> dict[str, str]:
    """The parameters in the page's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def expect_target(page: Page, target: str) -> None:
    """Check the value of the field *True target* behind *Compare*."""
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("textbox", name="True target")).to_have_value(target)
    page.keyboard.press("Escape")


def test_a_wrong_answer_goes_back_with_its_own_target(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(
        f"{server.url}/decode?checkpoint=pronunciation&part=errors&input=laughter&examples=200"
    )
    rows = page.locator(".answer_table tbody button")
    expect(rows.first).to_be_visible()
    settle(page)
    first, entries = named(page), page.evaluate("history.length")
    opened = []
    for number in (0, 1):
        rows.nth(number).click()
        page.wait_for_url(re.compile(f"input={rows.nth(number).inner_text()}&"))
        settle(page)
        opened.append(named(page))
    assert opened[0]["target"] != opened[1]["target"]
    assert page.evaluate("history.length") == entries + 2
    for view in (opened[0], first):
        page.go_back()
        expect(page.get_by_label("Input", exact=True)).to_have_value(view["input"])
        settle(page)
        assert named(page) == view
        expect_target(page, view.get("target", ""))
    page.go_forward()
    expect_target(page, opened[0]["target"])
    settle(page)
    assert named(page) == opened[0]


def test_a_checkpoint_goes_back_with_its_input(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/decode?checkpoint=pronunciation&input=island")
    expect(page.locator(".where")).to_be_visible()
    settle(page)
    before = named(page)
    page.get_by_role("combobox", name="Checkpoint").click()
    page.get_by_role("option", name=re.compile("^Dates")).click()
    page.wait_for_url(re.compile("checkpoint=dates"))
    settle(page)
    page.go_back()
    expect(page.get_by_label("Input", exact=True)).to_have_value("island")
    settle(page)
    assert named(page) == before


def test_back_resets_what_the_earlier_address_did_not_name(
    server: Server, new_page: NewPage
) -> None:
    """Back resets a head and a panel that the earlier address did not name."""
    page = new_page()
    page.goto(f"{server.url}/attention?checkpoint=sort&input=hello")
    heading = page.locator(".large").get_by_role("heading")
    expect(heading).to_have_text("Cross-attention, layer 2, head 1")
    settle(page)
    page.get_by_role("button", name="Encoder self-attention, layer 1, head 2").click()
    page.wait_for_url(re.compile("head=encoder.0.1"))
    settle(page)
    page.mouse.move(0, 0)
    page.get_by_role("radio", name="Switch heads off").click()
    page.wait_for_url(re.compile("panel=cause"))
    settle(page)
    page.go_back()
    expect(page.get_by_role("radio", name="All heads")).to_be_checked()
    expect(heading).to_have_text("Encoder self-attention, layer 1, head 2")
    page.go_back()
    expect(heading).to_have_text("Cross-attention, layer 2, head 1")
    settle(page)
    assert "head" not in named(page)
    page.go_forward()
    expect(heading).to_have_text("Encoder self-attention, layer 1, head 2")


def test_a_closed_panel_keeps_its_settings_over_another_page(
    server: Server, new_page: NewPage
) -> None:
    """The address lacks a closed panel's settings; the app must not take that for a Back."""
    page = new_page()
    page.goto(f"{server.url}/decode?checkpoint=reverse&input=abc&part=strategies&beam=8")
    tree = page.get_by_role("heading", name="Beam of 8")
    expect(tree).to_be_visible()
    page.get_by_role("radio", name="Branches").click()
    expect(page.get_by_role("region", name="Tree of branches")).to_be_visible()
    settle(page)
    for name in ("Train", "Decode"):
        page.get_by_test_id("stSidebar").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        settle(page)
    expect(page.get_by_role("region", name="Tree of branches")).to_be_visible()
    assert "beam" not in named(page)
    page.get_by_role("radio", name="Strategies").click()
    expect(tree).to_be_visible()
    settle(page)
    assert {"part": "strategies", "beam": "8"}.items() <= named(page).items()


def test_one_step_back_leaves_a_page(server: Server, new_page: NewPage) -> None:
    """A page completes its own address when it opens; that must not add a history entry."""
    page = new_page()
    page.goto(server.url)
    settle(page)
    title = page.locator("h1")
    for name in ("Learn", "Decode"):
        page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True).click()
        expect(title).to_have_text(name)
        page.wait_for_url(re.compile("step=1"))
        settle(page)
        page.go_back()
        expect(title).to_have_text("Transformer Workbench")
        settle(page)

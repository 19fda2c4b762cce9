"""Checks for every page: accessible in both themes, and nothing cut off on a phone."""

from collections.abc import Sequence

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.server import settle

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
COLOURS = ["color-contrast", "link-in-text-block"]
"""Rules that depend on colours: only these need a second run in the other theme."""
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 21, 26)"}
"""Background colours of the themes in .streamlit/config.toml."""
PHONE, DESK = 400, 1280
FRAME = ("[data-testid=stSidebar]", "[data-testid=stHeader]", ".st-key-page-title")
"""The parts around every page: checked with only the first of several views of a page."""
AXE = Axe().axe_script


def turn(page: Page, scheme: str) -> None:
    """Change the theme of an open page, as an operating system does in the evening."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", BACKGROUNDS[scheme])
    settle(page)


def assert_accessible(
    page: Page, what: str = "", rules: list[str] = WCAG, but: Sequence[str] = ()
) -> None:
    """axe finds no violation of WCAG 2.1 AA in the page's present theme.

    but: selectors to leave out, since they were checked in this theme and have not changed.
    """
    if not page.evaluate("'axe' in window"):  # half a MB, so only once per document
        page.evaluate(AXE)
    options = {
        "runOnly": rules,
        "resultTypes": ["violations"],  # everything is checked, but only violations are listed
        "preload": False,  # style sheets: none of these rules reads them
    }
    found = page.evaluate(
        """async ([but, options]) => {
          const exclude = but.filter((part) => document.querySelector(part)).map((part) => [part]);
          return (await axe.run(exclude.length ? { exclude } : document, options)).violations;
        }""",
        [list(but), options],
    )
    told = [
        f"{one['id']}: {node['html']}\n{node['failureSummary']}"
        for one in found
        for node in one["nodes"]
    ]
    assert not found, "\n".join([what, *told])


def turn_over(page: Page) -> str:
    """Switch to the other theme and return its name."""
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    turn(page, other := "light" if dark else "dark")
    return other


def assert_accessible_in_both_themes(page: Page, what: str = "", but: Sequence[str] = ()) -> None:
    """Check the page in its present theme, then in the other, in which it stays.

    but: selectors to leave out, since they were checked in both themes and have not changed.
    """
    assert_accessible(page, what, but=but)
    assert_accessible(page, f"{what} {turn_over(page)}", COLOURS, but)


def assert_fit_for_all(page: Page, what: str = "", but: Sequence[str] = ()) -> None:
    """Accessible and not cut off: as opened, then with the other width and theme."""
    assert page.viewport_size is not None
    other = DESK if page.viewport_size["width"] == PHONE else PHONE
    assert_not_cut_off(page, what)
    assert_accessible(page, what, but=but)
    resize(page, other)
    what = f"{what} {turn_over(page)} {other}"
    assert_not_cut_off(page, what)
    assert_accessible(page, what, but=but)


def resize(page: Page, width: int) -> None:
    """Change the width of the page, and wait until it is drawn again."""
    page.set_viewport_size({"width": width, "height": 1000})
    page.evaluate(  # size observers are called before the next frame, and draw in it
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    settle(page)


def assert_not_cut_off(page: Page, what: str = "", selector: str = "[data-testid=stMain]") -> None:
    """Nothing is wider than the screen, and there is no empty space below the page's content."""
    wide = page.locator(selector).evaluate("main => main.scrollWidth - main.clientWidth")
    assert wide <= 0, f"{what} {selector} is {wide} pixels too wide"
    empty = page.get_by_test_id("stMain").evaluate(
        """main => main.scrollHeight - Math.max(main.clientHeight,
            main.querySelector('[data-testid=stMainBlockContainer]').offsetHeight)"""
    )
    assert empty <= 1, f"{what}: the page goes on for {empty} pixels below its end"

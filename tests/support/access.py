"""What every page must be: accessible in both themes, and whole on a telephone."""

from collections.abc import Sequence

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.server import settle

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules that look at colours: the others find in one theme what they find in the other."""
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 21, 26)"}
"""Of .streamlit/config.toml."""
PHONE, DESK = 400, 1280
FRAME = ("[data-testid=stSidebar]", "[data-testid=stHeader]", ".st-key-page-title")
"""What stands around every page, and is looked at with the first of several views of one."""
AXE = Axe().axe_script


def turn(page: Page, scheme: str) -> None:
    """Change the theme of an open page, as a system does in the evening."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", BACKGROUNDS[scheme])
    settle(page)


def assert_accessible(
    page: Page, what: str = "", rules: list[str] = WCAG, but: Sequence[str] = ()
) -> None:
    """axe finds no violation of WCAG 2.1 AA, in the theme that the page is in.

    but: selectors of what was looked at before, in this theme, and is as it was.
    """
    if not page.evaluate("'axe' in window"):  # half a MB, once a document
        page.evaluate(AXE)
    options = {
        "runOnly": rules,
        "resultTypes": ["violations"],  # all is checked, but what passes is not written down
        "preload": False,  # of style sheets, which none of these rules reads
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
    """Change to the theme that the page is not in; its name."""
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    turn(page, other := "light" if dark else "dark")
    return other


def assert_accessible_in_both_themes(page: Page, what: str = "", but: Sequence[str] = ()) -> None:
    """The theme that it was opened in first; afterwards the page is in the other.

    but: what was looked at before in both, and is as it was.
    """
    assert_accessible(page, what, but=but)
    assert_accessible(page, f"{what} {turn_over(page)}", COLOURS, but)


def assert_fit_for_all(page: Page, what: str = "", but: Sequence[str] = ()) -> None:
    """Accessible and whole: as it was opened, then of the other width and in the other theme."""
    assert page.viewport_size is not None
    other = DESK if page.viewport_size["width"] == PHONE else PHONE
    assert_not_cut_off(page, what)
    assert_accessible(page, what, but=but)
    resize(page, other)
    what = f"{what} {turn_over(page)} {other}"
    assert_not_cut_off(page, what)
    assert_accessible(page, what, but=but)


def resize(page: Page, width: int) -> None:
    """Another width, and what the page draws for it."""
    page.set_viewport_size({"width": width, "height": 1000})
    page.evaluate(  # what watches its size is told before the next frame, and draws in it
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    settle(page)


def assert_not_cut_off(page: Page, what: str = "", selector: str = "[data-testid=stMain]") -> None:
    """Nothing is wider than the screen, and the page ends where what is on it ends."""
    wide = page.locator(selector).evaluate("main => main.scrollWidth - main.clientWidth")
    assert wide <= 0, f"{what} {selector} is {wide} pixels too wide"
    empty = page.get_by_test_id("stMain").evaluate(
        """main => main.scrollHeight - Math.max(main.clientHeight,
            main.querySelector('[data-testid=stMainBlockContainer]').offsetHeight)"""
    )
    assert empty <= 1, f"{what}: the page goes on for {empty} pixels below its end"

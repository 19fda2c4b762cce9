"""Make the pictures of the README, from the running app:

.venv/bin/python docs/make_pictures.py
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from tests.browser.conftest import (  # noqa: E402
    CHROMIUM_FLAGS,
    find_browser,
    settle,
    start_server,
    stop_server,
)
from transformer.runs import list_runs  # noqa: E402


def picture(page: Page, name: str, highest: int = 1100) -> None:
    """Save the page, as high as it is."""
    settle(page)
    page.mouse.move(0, 0)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": 1280, "height": min(height, highest)})
    page.wait_for_timeout(500)
    page.screenshot(path=DOCS / f"{name}.png")
    page.set_viewport_size({"width": 1280, "height": 900})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = start_server(Path(folder))
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for task in ("reverse", "sort"):
            page.goto(f"{server.url}/train?task={task}")
            settle(page)
            page.get_by_role("button", name="Train", exact=True).click()
            expect(page.get_by_text("Saved.", exact=True)).to_be_visible(timeout=300_000)
            settle(page)
        picture(page, "train", 1500)
        slider = page.locator(".attention_timeline")
        slider.scroll_into_view_if_needed()
        slider.screenshot(path=DOCS / "time_slider.png")
        runs = ",".join(run.id for run in list_runs(server.folder / "runs"))
        page.goto(f"{server.url}/runs?runs={runs}")
        expect(page.get_by_text("What differs in their settings")).to_be_visible()
        picture(page, "runs", 1500)
        page.goto(server.url)
        expect(page.locator(".large canvas")).to_be_visible()
        picture(page, "overview")
        page.goto(f"{server.url}/attention?checkpoint=sort&input=workbench&head=cross.1.0")
        expect(page.locator(".large canvas")).to_be_visible()
        picture(page, "attention")
        page.goto(f"{server.url}/decode?checkpoint=sort&input=workbench&step=4")
        expect(page.locator(".where")).to_be_visible()
        picture(page, "decode")
        page.goto(f"{server.url}/checkpoints?checkpoint=reverse")
        page.get_by_role("button", name="Check this checkpoint").click()
        expect(page.get_by_text("behaves exactly as it did")).to_be_visible()
        picture(page, "checkpoints")
        browser.close()
        stop_server(server)


if __name__ == "__main__":
    main()

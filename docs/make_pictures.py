"""Make the pictures of the README and of docs/, from the running app.

.venv/bin/python docs/make_pictures.py
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from tests.support.server import (  # noqa: E402
    press_train,
    running_browser,
    running_server,
    settle,
    trained,
)
from transformer.runs.directory import list_runs  # noqa: E402


def picture(page: Page, name: str, highest: int = 1100) -> None:
    """Save the page, as high as it is."""
    settle(page)
    page.mouse.move(0, 0)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": 1280, "height": min(height, highest)})
    page.wait_for_timeout(500)
    page.screenshot(path=DOCS / f"{name}.png")
    page.set_viewport_size({"width": 1280, "height": 900})


WORD = "checkpoint=sort&input=workbench"
LONG = (
    "thequickbrownfoxjumpsoverthelazydogandrunsawayfromthegreybear"
    "intothedarkandsilentforestbeforesunset"
)
ATTENTION = {
    "attention-lines": f"{WORD}&view=lines&with=cross.1.1+cross.1.2",
    "attention-difference": f"{WORD}&compare=untrained&show=difference",
    "attention-cause": "checkpoint=reverse&input=workbench&panel=cause&without=encoder.0.1",
    "attention-number": f"{WORD}&panel=number&cell=2.5",
    "attention-32": f"checkpoint=sort&input={LONG[:31]}&output={''.join(sorted(LONG[:31]))}",
    "attention-100": f"checkpoint=sort&input={LONG[:99]}&output={''.join(sorted(LONG[:99]))}",
    "attention-phone": "checkpoint=reverse&input=streams",
    "attention-phone-32": f"checkpoint=reverse&input={LONG[:31]}&output={LONG[30::-1]}",
}
"""Pictures of the explorer: their addresses. Some are of the dark theme, some of a telephone."""
DARK = ("attention-difference", "attention-100", "attention-phone-32")


def attention_picture(browser: Browser, address: str, name: str) -> None:
    """Save the part of the page that the picture is about."""
    width = 400 if "phone" in name else 1280
    scheme: Literal["dark", "light"] = "dark" if name in DARK else "light"
    page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page.goto(address)
    expect(page.locator(".field canvas").first).to_be_visible(timeout=60_000)
    settle(page)
    if name == "attention-cause":
        page.get_by_role("button", name="Knock out each").click()
        expect(page.get_by_text("Most depends on")).to_be_visible(timeout=60_000)
        page.get_by_role("button", name="Exact match on").click()
        expect(page.get_by_test_id("stMetricValue")).to_be_visible(timeout=60_000)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": height})
    settle(page)
    page.wait_for_timeout(800)
    start = end = ".attention_explorer"
    if name in ("attention-cause", "attention-number"):
        start, end = "[data-testid=stButtonGroup]", "[data-testid=stMainBlockContainer]"
    top = page.locator(start).first.bounding_box()
    bottom = page.locator(end).last.bounding_box()
    assert top is not None
    assert bottom is not None
    main = page.locator("[data-testid=stMain]").bounding_box()
    assert main is not None
    taken = page.screenshot(
        clip={
            "x": main["x"],
            "y": top["y"] - 10,
            "width": main["width"],
            "height": min(bottom["y"] + bottom["height"] - top["y"] + 20, 1700),
        }
    )
    page.close()
    # A palette is a quarter of the bytes, and enough for two scales and eight colours.
    Image.open(io.BytesIO(taken)).quantize(128).save(DOCS / f"{name}.png", optimize=True)


def part(page: Page, selector: str, name: str) -> None:
    """Save one part of the page, as high as it is."""
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": 1280, "height": height})
    page.wait_for_timeout(1000)
    box = page.locator(selector).bounding_box()
    assert box is not None
    page.screenshot(path=DOCS / f"{name}.png", clip=box)
    page.set_viewport_size({"width": 1280, "height": 900})


def decode_pictures(page: Page, url: str) -> None:
    """A wrong answer and where it went wrong; what a beam finds that greedy does not."""
    page.goto(f"{url}/decode?checkpoint=reverse&input=cpwjkqugacpwjk")
    expect(page.locator(".where")).to_be_visible()
    picture(page, "decode", 1200)
    page.goto(f"{url}/decode?checkpoint=reverse&input=cpwjkqugacpwjk&part=strategies")
    expect(page.locator(".beam_tree svg").first).to_be_visible()
    settle(page)
    part(page, "[data-testid=stMain] .beam_tree", "decode-beam")


def checkpoint_picture(page: Page, url: str) -> None:
    """A card at first glance, and where its parameters are."""
    page.goto(f"{url}/checkpoints?checkpoint=sort&card=parameters")
    expect(page.get_by_role("img", name="Encoder-decoder")).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    picture(page, "checkpoints", 1600)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        running_browser() as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for task in ("reverse", "sort"):
            page.goto(f"{server.url}/train?task={task}")
            settle(page)
            press_train(page, server)
            trained(page, server)
        picture(page, "train", 1500)
        part(page, ".attention_timeline", "time_slider")
        runs = ",".join(run.id for run in list_runs(server.folder / "runs"))
        page.goto(f"{server.url}/runs?runs={runs}")
        expect(page.get_by_text("What differs in their settings")).to_be_visible()
        picture(page, "runs", 1500)
        newcomer = browser.new_page(viewport={"width": 1280, "height": 900})
        newcomer.goto(server.url)
        expect(newcomer.locator(".word_map .box").first).to_be_visible()
        picture(newcomer, "overview")
        page.goto(f"{server.url}/attention?checkpoint=sort&input=workbench&head=cross.1.0")
        expect(page.locator(".large canvas").first).to_be_visible()
        picture(page, "attention")
        for name, query in ATTENTION.items():
            attention_picture(browser, f"{server.url}/attention?{query}", name)
        decode_pictures(page, server.url)
        checkpoint_picture(page, server.url)


if __name__ == "__main__":
    main()

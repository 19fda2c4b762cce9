"""How long the user waits, in a real browser: .venv/bin/python -m benchmarks.responsiveness

In milliseconds, on this machine; leave it idle meanwhile. Medians of ten, except for measurements
that need a newly started server.
"""

import random
import statistics
import string
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect

from benchmarks.in_page import FIND
from tests.support.server import Server, running_browser, running_server, settle
from transformer.runs.directory import ACTIVE, Run

REPEATS = 10

# Resolves with the time at which all maps of a new input are in place: the explorer has been
# rebuilt with as many rows as the output has tokens, and the browser has painted twice.
DRAWN = (
    """
async (length) => {
"""
    + FIND
    + """
  for (;;) {
    const explorer = find(document);
    if (explorer && explorer.querySelectorAll('.columns span').length === length + 1) break;
    await frame();
  }
  await frame();
  await frame();
  return performance.now();
}
"""
)


def first_paint(page: Page, server: Server) -> float:
    """Seconds from navigation until the page's heading is visible."""
    started = time.perf_counter()
    page.goto(server.url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    return time.perf_counter() - started


def switches(page: Page) -> list[float]:
    """Seconds from a click in the sidebar to the other page's heading, in both directions."""
    headings = {"Train": "Train", "Overview": "Transformer Workbench"}
    waited = []
    for name in [*headings] * (1 + REPEATS // 2):
        page.wait_for_timeout(1000)
        started = time.perf_counter()
        page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1, name=headings[name])).to_be_visible()
        waited.append(time.perf_counter() - started)
    return waited[2:]  # the first visits also import the pages' modules


def click_to_first_metrics(page: Page, server: Server) -> float:
    """Seconds from the click on Train to the first line of metrics.jsonl, the untrained loss."""
    page.goto(f"{server.url}/train?task=reverse")
    settle(page)
    page.wait_for_timeout(1000)  # until the cores are idle, too
    runs = server.folder / "runs"
    known = set(runs.glob("*/metrics.jsonl"))
    started = time.perf_counter()
    page.get_by_role("button", name="Train", exact=True).click()
    # Poll with little work: polling takes CPU time from the processes that are measured.
    while not (new := [file for file in runs.glob("*/metrics.jsonl") if file not in known]):
        time.sleep(0.005)
    while b"\n" not in new[0].read_bytes():
        time.sleep(0.005)
    waited = time.perf_counter() - started
    run = Run(new[0].parent)
    run.command("stop")
    while run.status().state in ACTIVE:
        time.sleep(0.1)
    return waited


def new_input_to_all_maps(page: Page) -> list[float]:
    """Seconds from Enter in the input field to all maps drawn, for inputs of several lengths."""
    waited = []
    field = page.get_by_label("Input")
    for number in range(REPEATS + 1):
        length = 6 + number % 7
        field.fill("".join(random.choices(string.ascii_lowercase, k=length)))
        before = page.evaluate("performance.now()")
        field.press("Enter")
        waited.append((page.evaluate(DRAWN, length) - before) / 1000)
        settle(page)
    return waited[1:]  # for the first, the browser also compiles the scripts


def report(name: str, seconds: list[float]) -> None:
    milliseconds = sorted(1000 * value for value in seconds)
    print(
        f"{name}: median {statistics.median(milliseconds):,.0f} ms "
        f"({milliseconds[0]:,.0f} to {milliseconds[-1]:,.0f})"
    )


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        running_browser() as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        started = time.perf_counter()
        report("first paint of a page on a cold server", [first_paint(page, server)])
        expect(page.locator(".word_map .box").first).to_be_visible()
        report("a trained model has answered, from navigation", [time.perf_counter() - started])
        report("the same, reloaded", [first_paint(page, server) for _ in range(REPEATS)])
        report("click on Train to first metrics, cold", [click_to_first_metrics(page, server)])
        clicks = [click_to_first_metrics(page, server) for _ in range(REPEATS)]
        report("click on Train to first metrics, warm", clicks)
        page.goto(server.url)
        report("another page by the sidebar", switches(page))
        for checkpoint in ("reverse", "sort"):
            page.goto(f"{server.url}/attention?checkpoint={checkpoint}")
            expect(page.locator(".large canvas").first).to_be_visible()
            settle(page)
            report(f"new input to all maps, {checkpoint}", new_input_to_all_maps(page))


if __name__ == "__main__":
    main()

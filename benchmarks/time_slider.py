"""How fast the time slider moves, in a real browser: .venv/bin/python -m benchmarks.time_slider

A model of 2+2 layers with 4 heads at 16 tokens is trained briefly and recorded. Then an arrow key
moves from one recorded moment to another. The time runs from the time stamp of the key event until
all 24 maps and the large one are drawn and two frames have passed. Network messages are counted
meanwhile; there should be none.
"""

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from playwright.sync_api import Page, expect

from tests.support.places import ROOT
from tests.support.recorded_run import record_run
from tests.support.server import running_browser, running_server, settle, watch_traffic
from transformer.tasks.presets import prepare

REPEATS = 10
APP = ROOT / "tests" / "support" / "timeline_app.py"

# Resolves with [milliseconds until drawn, milliseconds of script] of the next key press.
NEXT_MOVE = """
() => { window.moved = new Promise((resolve) => {
  window.addEventListener('keydown', (event) => {
    const heard = performance.now();
    queueMicrotask(() => setTimeout(() => { window.script = performance.now() - heard; }));
    requestAnimationFrame(() => requestAnimationFrame(() => {
      resolve([performance.now() - event.timeStamp, window.script]);
    }));
  }, { capture: true, once: true });
}); }
"""


def recorded(folder: Path, steps: int) -> None:
    """Record a run of the small model in ``folder``/runs, on words of 15 letters plus <eos>."""
    torch.set_num_threads(1)
    _, config = prepare(
        "sort",
        "small",
        data={"min_letters": 15, "max_letters": 15},
        training={
            "steps": steps,
            "batch_size": 16,
            "eval_every": max(1, steps // 5),
            "eval_examples": 16,
            "final_examples": 16,
            "threads": 1,
        },
    )
    for _ in record_run(config, folder / "runs"):
        pass


@contextmanager
def page_of_a_run(steps: int) -> Iterator[tuple[Page, list[str]]]:
    """The page with a run's slider, and the network traffic since it was opened."""
    with tempfile.TemporaryDirectory() as name:
        recorded(Path(name), steps)
        with running_server(Path(name), APP) as server, running_browser() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 1400})
            traffic = watch_traffic(page)
            page.goto(server.url)
            expect(page.get_by_role("slider")).to_be_visible()
            settle(page)
            yield page, traffic


def move(page: Page, key: str) -> tuple[float, float]:
    """Press a key on the slider; milliseconds until drawn, and milliseconds of script."""
    page.evaluate(NEXT_MOVE)
    page.keyboard.press(key)
    drawn, script = page.evaluate("window.moved")
    return drawn, script


def main() -> None:
    with page_of_a_run(150) as (page, traffic):
        maps = page.locator("button.head").count()
        moments = 1 + int(page.get_by_role("slider").get_attribute("aria-valuemax") or 0)
        print(f"{maps} maps, {moments} moments")
        page.get_by_role("slider").focus()
        move(page, "Home")  # warm-up: the browser compiles the scripts
        page.wait_for_timeout(500)
        traffic.clear()
        moves = [move(page, key) for key in ("ArrowRight", "PageUp") * (REPEATS // 2)]
        page.wait_for_timeout(500)
        for name, times in zip(("drawn", "script"), zip(*moves, strict=True), strict=True):
            print(
                f"a move, {name}: median {statistics.median(times):.1f} ms "
                f"({min(times):.1f} to {max(times):.1f})"
            )
        print(f"requests and WebSocket frames meanwhile: {len(traffic)}")


if __name__ == "__main__":
    main()

"""What an open Train page costs the trainer: .venv/bin/python -m benchmarks.watching

One trainer on one thread. In turns, a browser shows its run or a blank page; each turn's steps per
second come from the run's own metrics. Leave the machine idle meanwhile.
"""

import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import expect

from tests.support.server import running_browser, running_server
from transformer.runs.directory import Run
from transformer.runs.queue import submit
from transformer.tasks.presets import prepare

TURNS, SECONDS = 6, 12.0


def speed(run: Run) -> float:
    """Steps per second, over the next SECONDS."""
    first, started = run.last_step(), time.perf_counter()
    time.sleep(SECONDS)
    return (run.last_step() - first) / (time.perf_counter() - started)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        running_browser() as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        # With 2,000 planned steps, each one is recorded; and no evaluation happens in a turn.
        settings = {"steps": 2000, "eval_every": 1_000_000, "threads": 1, "batch_size": 256}
        run = submit(prepare("sort", training=settings)[1], root=Path(folder) / "runs")
        page.goto(f"{server.url}/train?run={run.id}")
        expect(page.get_by_text("steps/s")).to_be_visible(timeout=120_000)
        expect(page.get_by_text("Three goals")).to_be_visible()
        watched, alone = [], []
        for _ in range(TURNS):
            page.goto(f"{server.url}/train?run={run.id}")
            expect(page.get_by_text("steps/s")).to_be_visible(timeout=60_000)
            time.sleep(2)
            watched.append(speed(run))
            page.goto("about:blank")
            time.sleep(2)
            alone.append(speed(run))
    ratios = sorted(a / b for a, b in zip(watched, alone, strict=True))
    print(
        f"steps/s watched: {statistics.median(watched):.1f}, alone: {statistics.median(alone):.1f}"
    )
    print(
        f"watched over alone, each turn: median {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()

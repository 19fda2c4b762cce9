"""How long a task takes from the click on Train: .venv/bin/python -m benchmarks.click_to_solved

In a real browser that shows the run meanwhile; leave the machine idle. Each run goes to its end.
Prints when the held-out exact match first was 99.5 % or more, when the run ended (the seven
sentences: at their loss goal), and what its seconds were spent on, by the times in its metrics.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from tests.support.server import Server, running_browser, running_server, settle
from transformer.runs.directory import ACTIVE, Run
from transformer.runs.metrics import Record

MARK = 0.995
SEVEN = "seven sentences"
CASES = ("reverse", "sort", "addition", "addition-reversed", SEVEN)
MOST_SECONDS = 60.0
"""Longest wait for a run's first metrics."""
PAUSE = 5.0
"""An update that took this many times the median was preceded by something else: a trial, a check,
or a snapshot."""


@dataclass
class Spent:
    """Seconds of one run, from the click to its end.

    start: to the first line of the metrics, the untrained model's loss.
    beside: trials of precision and threads, the overfit check, snapshots.
    end: from the last line of the metrics until the run has ended: saving and verifying.
    """

    start: float
    updates: float
    evaluations: float
    beside: float
    end: float


def spent(records: Sequence[Record], start: float, total: float) -> Spent:
    """Attribute the time between two lines of the metrics to what the second line is about."""
    times = [record.seconds or 0.0 for record in records]
    waits = [(b.kind, t - s) for b, s, t in zip(records[1:], times, times[1:], strict=False)]
    update = statistics.median(wait for kind, wait in waits if kind == "train")
    updates = [
        wait if wait <= PAUSE * update else update for kind, wait in waits if kind == "train"
    ]
    return Spent(
        start=start,
        updates=sum(updates),
        evaluations=sum(wait for kind, wait in waits if kind == "eval"),
        beside=sum(wait for kind, wait in waits if kind == "train") - sum(updates),
        end=total - start - (times[-1] - times[0]),
    )


def train(page: Page, server: Server, case: str) -> str:
    """Train once; returns a row of the table."""
    page.goto(f"{server.url}/train?task={'reverse' if case == SEVEN else case}")
    settle(page)
    if case == SEVEN:
        page.get_by_role("button", name="Seven sentences").click()  # the card has its settings
        settle(page)
    page.wait_for_timeout(6000)  # until the cores are idle, and the next trainer is ready
    runs = server.folder / "runs"
    known = set(runs.glob("*/metrics.jsonl"))
    clicked = time.perf_counter()
    page.get_by_role("button", name="Train", exact=True).click()
    # Poll with little work: polling takes CPU time from the processes that are measured.
    new: list[Path] = []
    while not new or b"\n" not in new[0].read_bytes():
        if time.perf_counter() - clicked > MOST_SECONDS:
            raise RuntimeError(f"{case}: no run began")
        time.sleep(0.01)
        new = [file for file in runs.glob("*/metrics.jsonl") if file not in known]
    start = time.perf_counter() - clicked
    run = Run(new[0].parent)
    while run.status().state in ACTIVE:
        time.sleep(0.1)
    total = time.perf_counter() - clicked
    if (state := run.status().state) != "finished":
        raise RuntimeError(f"{case}: {state}")
    records = run.metrics()
    first = records[0].seconds or 0.0
    reached = [
        start + (record.seconds or 0.0) - first
        for record in records
        if record.kind == "eval" and (record.exact_match or 0.0) >= MARK
    ]
    solved = f"{reached[0]:.1f}" if reached and case != SEVEN else "–"
    found = spent(records, start, total)
    parts = (found.start, found.updates, found.evaluations, found.beside, found.end)
    cells = " | ".join(f"{seconds:.1f}" for seconds in parts)
    return f"| {case} | {solved} | {total:.1f}, {run.last_step():,} updates | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.click_to_solved")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(CASES))
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(CASES):
        parser.error(f"not measured here: {', '.join(sorted(unknown))}")
    print("| task | 99.5 % right | run ends | start | updates | evaluations | beside | end |")
    print("|---" * 8 + "|")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        running_browser() as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        for case in [*(options.tasks or CASES)] * options.repeats:
            print(train(page, server, case), flush=True)


if __name__ == "__main__":
    main()

"""Ten people for ten minutes: .venv/bin/python -m benchmarks.soak [SESSIONS] [SECONDS]

Each one repeatedly opens the app, uploads a model, starts a short run, clicks through the pages and
leaves. All use HTTP and the app's WebSocket and draw nothing. Prints the server's memory, open
files, threads and child processes every minute; at the end what went wrong, how long clicks
waited, and which processes outlive the server. Leave the machine idle.

The exit status is 1 if anything went wrong: a fault on a page or in the log; a failed run; more
processes than the one kept ready after all have left; a process that outlives the server; or
memory, files or threads that grew between the first third of the time, after warm-up, and the last.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.class_of_thirty import VIEWS, arrived, report, token_of
from tests.support.checkpoint_files import make
from tests.support.server import Server, start_server, stop_server
from tests.support.trainers import end_runs
from tests.support.visitor import Visitor
from transformer.runs.directory import ACTIVE, list_runs

SESSIONS, SECONDS = 10, 600.0
VISIT = 40.0
"""Seconds of one visit."""
CLICK_EVERY = 2.0
SAMPLE_EVERY = 5.0
AFTERWARDS = 150.0
"""Seconds after which the server has dropped the sessions of people who left."""
WARM_SECONDS = 120.0
"""Seconds until every page was opened and every store is full."""
MAY_GROW = {"memory": 60e6, "files": 20, "threads": 20}
"""Allowed growth, in bytes and counts, from the median of the first third to that of the last; not
0, as the ten people's activity varies."""
UPLOAD = "Bring a model: drop a file here"
TASKS = ("reverse", "copy", "sort")
FEW = {"preset": "tiny", "steps": "30", "eval_examples": "8", "final_examples": "8"}


@dataclass
class Sample:
    """The server's resources at one moment, ``seconds`` after the start.

    memory: in bytes. processes: number of its child processes and of those in its folder.
    """

    seconds: float
    memory: int
    files: int
    threads: int
    processes: int

    def __str__(self) -> str:
        return (
            f"{self.seconds:5.0f} s: {self.memory / 1e6:6,.0f} MB, {self.files:3} open files, "
            f"{self.threads:3} threads, {self.processes:2} other processes"
        )


@dataclass
class Results:
    """The results of all visits: their number, waiting times of clicks, and faults."""

    visits: int = 0
    waited: list[tuple[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def in_folder(folder: Path) -> list[psutil.Process]:
    """The processes whose working directory is in a server's folder, whatever started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            inside = Path(process.cwd()).is_relative_to(folder)
            if inside and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def bring(server: Server, number: int, content: bytes) -> list[str]:
    """Upload a model; returns what went wrong."""
    name = f"model{number}.safetensors"
    with Visitor(server, token_of(number)) as visitor:
        visitor.open("checkpoints")
        visitor.upload(UPLOAD, name, content)
        found = visitor.seen.exceptions
        if not any("is here and chosen" in said for said in visitor.seen.said):
            found = [*found, f"{name} was not taken: {visitor.seen.said}"]
    return found


async def visit(server: Server, number: int, chance: random.Random, results: Results) -> None:
    """One visit: upload a model, train, click, and close the tab."""
    content = make(seed=chance.randrange(1_000_000)).to_bytes()
    results.faults += await asyncio.to_thread(bring, server, number, content)
    async with arrived(server, number) as person:
        end = time.monotonic() + VISIT
        query = {"task": chance.choice(TASKS)} | FEW
        await person.ask("train", query)
        if "Train" in person.buttons:
            await person.ask("train", query, button="Train")
        while time.monotonic() < end:
            await asyncio.sleep(chance.uniform(0, 2 * CLICK_EVERY))
            page, query = chance.choice((*VIEWS, ("runs", {}), ("learn", {}), ("debug", {})))
            await person.ask(page, dict(query))
        results.visits += 1
        results.waited += person.waited
        results.faults += person.faults


async def stay(server: Server, number: int, seconds: float, results: Results) -> None:
    """One person's visits, one after another, for ``seconds``."""
    chance = random.Random(number)
    end = time.monotonic() + seconds
    await asyncio.sleep(chance.uniform(0, CLICK_EVERY))
    while time.monotonic() < end:
        await visit(server, number, chance, results)
        await asyncio.sleep(chance.uniform(0, CLICK_EVERY))


async def watch(server: Server, samples: list[Sample]) -> None:
    """Sample the server's resources every few seconds; print them every minute."""
    process, began, printed = psutil.Process(server.process.pid), time.monotonic(), -60.0
    while True:
        others = {one.pid for one in (*process.children(True), *in_folder(server.folder))}
        sample = Sample(
            time.monotonic() - began,
            process.memory_info().rss,
            process.num_fds(),
            process.num_threads(),
            len(others - {process.pid}),
        )
        samples.append(sample)
        if sample.seconds - printed >= 60:
            print(sample, flush=True)
            printed = sample.seconds
        await asyncio.sleep(SAMPLE_EVERY)


async def main(sessions: int, seconds: float) -> int:
    results, samples = Results(), list[Sample]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = start_server(folder, WORKBENCH_MODE="class")
        try:
            watching = asyncio.create_task(watch(server, samples))
            people = (stay(server, n, seconds, results) for n in range(sessions))
            for found in await asyncio.gather(*people, return_exceptions=True):
                if found is not None:
                    results.faults.append(f"{type(found).__name__}: {found}")
            stayed = samples[-1].seconds
            # Meanwhile the server drops their sessions, and their runs end.
            await asyncio.sleep(AFTERWARDS)
            if watching.done():
                results.faults.append(f"the server could not be watched: {watching.exception()}")
            watching.cancel()
            states = [run.status().state for run in list_runs(folder / "runs")]
        finally:  # trainers and the queue outlive the app, so end them too
            end_runs(folder)
            stop_server(server)
        await asyncio.sleep(3)
        orphans = in_folder(folder)
        print(f"{samples[-1]}\n")
        errors = server.faults()
    training = sum(state in ACTIVE for state in states)
    print(
        f"{sessions} people, {results.visits} visits, {len(states)} runs, of which {training} "
        f"still train and {states.count('failed')} failed; {len(results.faults)} faults on pages"
    )
    report(results.waited)
    print(f"processes that outlive the server: {len(orphans)}")
    for process in orphans:
        with suppress(psutil.Error):
            print("  ", process.pid, *process.cmdline())
            process.kill()
    wrong = [*results.faults[:5], *filter(None, [errors]), *grown(samples, stayed)]
    if states.count("failed"):
        wrong.append(f"{states.count('failed')} runs failed")
    if not results.visits or not states:
        wrong.append("nobody came, or nothing was trained")
    if (left := samples[-1].processes - training) > 1:  # the process kept ready
        wrong.append(f"{left} processes are left once all have gone")
    if orphans:
        wrong.append("processes outlive the server")
    for fault in wrong:
        print("WRONG:", fault)
    return bool(wrong)


def grown(samples: Sequence[Sample], stayed: float) -> list[str]:
    """Print the resources' medians after warm-up; returns what grew too much, in words."""
    warm = min(WARM_SECONDS, stayed / 3)
    there = [one for one in samples if warm <= one.seconds <= stayed]
    third = max(1, len(there) // 3)
    found = []
    print(f"medians of the first and the last third from {warm:.0f} s on, and once all have left:")
    for what, scale in (("memory", 1e6), ("files", 1), ("threads", 1)):
        values = [getattr(one, what) for one in there]
        first, last = statistics.median(values[:third]), statistics.median(values[-third:])
        end = getattr(samples[-1], what)
        print(f"  {what:8} {first / scale:6,.0f}, {last / scale:6,.0f}, {end / scale:6,.0f}")
        if last - first > MAY_GROW[what]:
            found.append(f"{what} grows")
    return found


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    status = main(int(given[0]) if given else SESSIONS, given[1] if len(given) > 1 else SECONDS)
    sys.exit(asyncio.run(status))

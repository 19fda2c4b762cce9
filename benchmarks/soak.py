"""Ten people for ten minutes: .venv/bin/python -m benchmarks.soak [SESSIONS] [SECONDS]

Each comes, starts a short run, clicks through the pages, goes, and comes back, again and again, as
one browser; each speaks to the app over its WebSocket and draws nothing. Prints every minute what
the server has: memory, open files, threads, and processes below it; and at the end what went wrong,
what clicks waited for, and which processes outlive the server. Leave the machine idle.
"""

import asyncio
import random
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.class_of_thirty import VIEWS, arrived, report
from tests.support.server import Server, start_server, stop_server
from tests.support.trainers import end_runs
from transformer.runs.directory import ACTIVE, list_runs

SESSIONS, SECONDS = 10, 600.0
VISIT = 40.0
"""Seconds until a person leaves, and comes back."""
CLICK_EVERY = 2.0
SAMPLE_EVERY = 5.0
TASKS = ("reverse", "copy", "sort")
FEW = {"preset": "tiny", "steps": "30", "eval_examples": "8", "final_examples": "8"}


@dataclass
class Sample:
    """What the server had at a moment. processes: those below it, and those in its folder."""

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
class Told:
    """What all the people met with."""

    visits: int = 0
    waited: list[tuple[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def in_folder(folder: Path) -> list[psutil.Process]:
    """The processes that work in a server's folder, whoever started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            inside = Path(process.cwd()).is_relative_to(folder)
            if inside and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def visit(server: Server, number: int, chance: random.Random, told: Told) -> None:
    """A person comes, trains and clicks, and closes the tab."""
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
        told.visits += 1
        told.waited += person.waited
        told.faults += person.faults


async def stay(server: Server, number: int, seconds: float, told: Told) -> None:
    """One person's visits, until the time is over."""
    chance = random.Random(number)
    end = time.monotonic() + seconds
    await asyncio.sleep(chance.uniform(0, CLICK_EVERY))
    while time.monotonic() < end:
        await visit(server, number, chance, told)
        await asyncio.sleep(chance.uniform(0, CLICK_EVERY))


async def watch(server: Server, samples: list[Sample]) -> None:
    """Looks every few seconds, and prints what it sees every minute."""
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


async def main(sessions: int, seconds: float) -> None:
    told, samples = Told(), list[Sample]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = start_server(folder, WORKBENCH_MODE="class")
        try:
            watching = asyncio.create_task(watch(server, samples))
            await asyncio.gather(*(stay(server, n, seconds, told) for n in range(sessions)))
            # Those who left are forgotten, and what they trained ends.
            end = time.monotonic() + min(150.0, seconds)
            while time.monotonic() < end:
                await asyncio.sleep(1)
            watching.cancel()
            states = [run.status().state for run in list_runs(folder / "runs")]
        finally:  # trainers outlive their app, and the queue goes on without it
            end_runs(folder)
            stop_server(server)
        await asyncio.sleep(3)
        orphans = in_folder(folder)
        print(f"{samples[-1]}\n")
        errors = server.faults()
    print(
        f"{sessions} people, {told.visits} visits, {len(states)} runs, of which "
        f"{sum(state in ACTIVE for state in states)} still train and {states.count('failed')} "
        f"failed; {len(told.faults)} faults on pages"
    )
    report(told.waited)
    later = [one for one in samples if one.seconds >= min(120, samples[-1].seconds / 3)]
    print(f"from {later[0].seconds:.0f} s on, and at the end:")
    for what, scale in (("memory", 1e6), ("files", 1), ("threads", 1)):
        values = [getattr(one, what) / scale for one in later]
        print(f"  {what:8} {values[0]:6,.0f}, at most {max(values):6,.0f}, then {values[-1]:6,.0f}")
    print(f"processes that outlive the server: {len(orphans)}")
    for process in orphans:
        with suppress(psutil.Error):
            print("  ", process.pid, *process.cmdline())
            process.kill()
    for fault in [*told.faults[:5], *filter(None, [errors])]:
        print("fault:", fault)


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    asyncio.run(main(int(given[0]) if given else SESSIONS, given[1] if len(given) > 1 else SECONDS))

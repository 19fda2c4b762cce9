"""Thirty people on one server: .venv/bin/python -m benchmarks.class_of_thirty [SESSIONS] [SECONDS]

Each session uses the app's WebSocket as a browser does, but draws nothing: it starts a run, watches
it with the page's own timer, and opens a random page every five seconds. Before them, a teacher
opens every page, so that PyTorch is imported. Reports how long clicks wait, whether the runs start
in the order of the queue, and memory.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from urllib.parse import urlencode

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

from tests.support.server import Server, start_server, stop_server
from tests.support.trainers import end_runs
from transformer.runs.directory import list_runs

SESSIONS, SECONDS = 30, 120.0
CLICK_EVERY = 5.0
TEACHER = -1
PATIENCE = 60.0
"""Seconds after which a click counts as unanswered."""
VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("train", {}),
    ("attention", {"checkpoint": "reverse", "input": "workbench"}),
    ("decode", {"checkpoint": "sort", "input": "workbench"}),
    ("checkpoints", {"checkpoint": "reverse"}),
    ("", {}),
)


@dataclass
class Person:
    """One session: the state of its page, and how long its clicks took."""

    number: int
    socket: ClientConnection
    run: str = ""
    query: str = ""
    page: str = ""
    buttons: dict[str, str] = field(default_factory=dict)
    timer: tuple[str, float] | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    arrival: list[tuple[str, float]] = field(default_factory=list)
    waited: list[tuple[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def listen(self) -> None:
        async for content in self.socket:
            message = ForwardMsg.FromString(content if isinstance(content, bytes) else b"")
            kind = message.WhichOneof("type")
            if kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "auto_rerun":
                self.timer = (message.auto_rerun.fragment_id, message.auto_rerun.interval)
            elif kind == "stop_auto_rerun":
                self.timer = None
            elif kind == "delta":
                self._see(message)
            elif kind == "script_finished" and message.script_finished in (
                ForwardMsg.FINISHED_SUCCESSFULLY,
                ForwardMsg.FINISHED_WITH_COMPILE_ERROR,
            ):
                self.finished.set()

    def _see(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "button":
            self.buttons[element.button.label] = element.button.id
        elif kind == "exception":
            self.faults.append(element.exception.message)
        elif kind == "alert" and "our fault" in element.alert.body:
            self.faults.append(element.alert.body)

    async def ask(self, page: str, query: dict[str, str], button: str = "") -> None:
        """Open a page, or press a button on it, and wait until the page is complete."""
        self.page = page
        message = BackMsg()
        state = message.rerun_script
        state.page_name, state.query_string = page, urlencode(query)
        if button:
            trigger = state.widget_states.widgets.add()
            trigger.id, trigger.trigger_value = self.buttons[button], True
        self.finished.clear()
        self.timer = None
        started = time.perf_counter()
        await self.socket.send(message.SerializeToString())
        try:
            await asyncio.wait_for(self.finished.wait(), PATIENCE)
        except TimeoutError:
            self.faults.append(f"no answer from the page {page or 'app'!r}")
        self.waited.append((button or page or "app", time.perf_counter() - started))

    async def tick(self) -> None:
        """Rerun the page's fragment periodically, as its timer does in a browser."""
        while True:
            fragment, interval = self.timer or ("", 1.0)
            await asyncio.sleep(interval)
            if fragment and self.timer is not None:
                message = BackMsg()
                state = message.rerun_script
                state.page_name, state.query_string = self.page, self.query
                state.fragment_id, state.is_auto_rerun = fragment, True
                await self.socket.send(message.SerializeToString())

    async def live(self, seconds: float) -> None:
        """Start a run, then click for ``seconds``."""
        if self.number == TEACHER:  # opens every page first, so that PyTorch is imported
            for page, query in VIEWS:
                await self.ask(page, dict(query))
        chance = random.Random(self.number)
        await asyncio.sleep(chance.uniform(0, CLICK_EVERY))
        await self.ask("train", {"task": chance.choice(("reverse", "copy", "sort"))})
        await self.ask("train", {}, button="Train")
        self.arrival, self.waited = self.waited, []
        self.run = dict(part.split("=") for part in self.query.split("&")).get("run", "")
        # At fixed times: if each waited from the last answer, then after one pause of the machine
        # all would click at the same moment from then on.
        due = time.monotonic()
        end = due + seconds
        while due < end:
            due += CLICK_EVERY
            await asyncio.sleep(due - time.monotonic())
            page, query = chance.choice(VIEWS)
            await self.ask(page, {**query, "run": self.run} if page == "train" else dict(query))


def token_of(number: int) -> str:
    """The cookie that identifies a person's browser; the same for every visit."""
    return random.Random(f"token {number}").randbytes(16).hex()


def stream(url: str, token: str) -> connect:
    """Open the WebSocket between the server and a page of the browser with this token."""
    return connect(
        url.replace("http", "ws") + "/_stcore/stream",
        subprotocols=["streamlit"],  # type: ignore[list-item]
        additional_headers={"Cookie": f"workbench={token}", "Origin": url},
        max_size=None,
        open_timeout=PATIENCE,
    )


@asynccontextmanager
async def arrived(server: Server, number: int) -> AsyncIterator[Person]:
    """A person's session, until the block ends; each person has the same browser every time."""
    async with stream(server.url, token_of(number)) as socket:
        person = Person(number, socket)
        background = [asyncio.create_task(person.listen()), asyncio.create_task(person.tick())]
        try:
            yield person
        finally:
            for task in background:
                task.cancel()


async def join(server: Server, number: int, seconds: float) -> Person:
    async with arrived(server, number) as person:
        await person.live(seconds)
        return person


def report(waited: Iterable[tuple[str, float]]) -> None:
    """Print how long the clicks took, for each page or button and for all together."""
    found: dict[str, list[float]] = {}
    for what, seconds in waited:
        for name in (what, "all"):
            found.setdefault(name, []).append(1000 * seconds)
    for what, waits in sorted(found.items(), key=lambda item: (item[0] == "all", item[0])):
        waits.sort()
        print(
            f"  {what:12} {len(waits):4} clicks, drawn after: median "
            f"{statistics.median(waits):,.0f} ms, 95th percentile "
            f"{waits[int(0.95 * len(waits))]:,.0f} ms, worst {waits[-1]:,.0f} ms"
        )


def in_order(server: Server) -> bool:
    """Whether every run that has started was queued before every run that still waits."""
    words = [run.recorded_status() for run in list_runs(server.folder / "runs")]
    begun = [word.ticket for word in words if word.state != "queued"]
    waits = [word.ticket for word in words if word.state == "queued"]
    return len({*begun, *waits}) == len(words) and max(begun) < min(waits, default=len(words) + 1)


async def main(sessions: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = start_server(Path(folder), WORKBENCH_MODE="class")
        try:
            process = psutil.Process(server.process.pid)
            before = process.memory_info().rss
            await join(server, TEACHER, 0.0)  # comes first, and starts a run
            people = await asyncio.gather(*(join(server, n, seconds) for n in range(sessions)))
            after = process.memory_info().rss
            states = [run.status().state for run in list_runs(server.folder / "runs")]
            faults = [fault for person in people for fault in person.faults]
            print(f"{sessions} sessions, {seconds:.0f} s, {len(faults)} faults")
            print(f"All arrive, and each starts a run, within {CLICK_EVERY:g} s:")
            report(chain.from_iterable(person.arrival for person in people))
            print("From then on:")
            report(chain.from_iterable(person.waited for person in people))
            print(
                f"runs: {len(states)}, "
                + ", ".join(f"{states.count(s)} {s}" for s in sorted(set(states)))
            )
            print(f"served in order: {in_order(server)}")
            print(f"memory of the server: {before / 1e6:,.0f} MB, then {after / 1e6:,.0f} MB")
            for fault in faults[:5]:
                print("fault:", fault)
        finally:  # trainers and the queue outlive the app, so end them too
            end_runs(server.folder)
            stop_server(server)


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    asyncio.run(main(int(given[0]) if given else SESSIONS, given[1] if len(given) > 1 else SECONDS))

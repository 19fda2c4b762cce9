"""How long others wait during a heavy upload: python -m benchmarks.heavy_files [WORD]

The files that take longest to read or to reject are uploaded one after another: on the Train page
in a real browser, or on the Checkpoints page by the requests that a browser sends; then the user
selects another model. Meanwhile another session opens a page every half second over its WebSocket.
Prints for each file the waiting times of those clicks and the server's memory: before, at most, and
after another model was selected. WORD limits it to files with WORD in their name. Leave the machine
idle.

The exit status is 1 if a file is too much for the server: if memory grows by more than three times
the file's size, or stays more than a third of it above the start; if the 95th percentile of the
waiting times is above half a second; or if the file is neither accepted nor rejected in time.
"""

import asyncio
import random
import statistics
import string
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from playwright.sync_api import Browser
from playwright.sync_api import Error as PlaywrightError

from benchmarks.class_of_thirty import VIEWS, Person, stream
from benchmarks.own_pairs import make
from tests.attacks.bombs import BOMBS
from tests.attacks.test_vocabularies import FORGED
from tests.support.server import Server, running_browser, running_server, settle
from tests.support.visitor import Visitor
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig, TransformerConfig
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

UPLOAD = "Bring a model: drop a file here"
CLICK_EVERY = 0.5
LONGEST = 120.0
"""Seconds within which a file must be accepted or rejected."""
MEGABYTE = 1e6
MOST_TIMES, MOST_STAYS, MOST_WAIT = 3.0, 1 / 3, 500.0
"""Limits: memory growth at most and afterwards, as multiples of the file's size; waiting time of a
click in milliseconds."""
ANY_PAGE = 50e6
"""Bytes by which the server may grow for any file, since pages opened for the first time use memory
too."""


def large_pairs(path: Path) -> None:
    make(path, 100)


def table_with_ids(path: Path) -> None:
    rows = (f"{n};кот спит {n};the cat sleeps {n}" for n in range(250_000))
    path.write_bytes("\r\n".join(["id;русский;english", *rows]).encode("cp1251"))


def own_checkpoint(words: int, d_model: int, layers: int) -> Callable[[Path], None]:
    """A function that writes a checkpoint with random weights."""

    def write(path: Path) -> None:
        names = ["".join(random.choices(string.ascii_lowercase, k=9)) for _ in range(words)]
        vocabulary = Vocabulary("words", sorted(set(names)))
        config = TransformerConfig(
            source_vocab_size=len(vocabulary),
            target_vocab_size=len(vocabulary),
            d_model=d_model,
            num_heads=8,
            num_encoder_layers=layers,
            num_decoder_layers=layers,
            d_ff=4 * d_model,
        )
        model = Transformer(config)
        # No examples: a random model writes no <eos>, and would decode each to the maximum length.
        data = DataConfig(task="reverse")
        Checkpoint.of(model, vocabulary, vocabulary, data, None, []).save(path)

    return write


def state_dict(path: Path) -> None:
    model = torch.nn.Transformer(512, 8, 6, 6, 2048, batch_first=True)
    torch.save(model.state_dict(), path)


def bytes_of(content: Callable[[], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content())

    return write


FILES: dict[str, Callable[[Path], None]] = {
    "pairs, 100 MB.tsv": large_pairs,
    "pairs with ids, Windows-1251.csv": table_with_ids,
    "own checkpoint, 6 + 6 layers of 512.safetensors": own_checkpoint(5_000, 512, 6),
    "own checkpoint, 200,000 words.safetensors": own_checkpoint(200_000, 64, 1),
    "own checkpoint, 4 + 4 layers of 1,024.safetensors": own_checkpoint(2_000, 1024, 4),
    "nn.Transformer, 6 + 6 layers of 512.pt": state_dict,
    "one piece of 200,000.safetensors": bytes_of(FORGED["one piece of 200,000"]),
    "5,000 pieces of 500.safetensors": bytes_of(FORGED["5,000 pieces of 500"]),
    "a million keys.pt": bytes_of(BOMBS["a million keys in a zip"]),
    "a bytearray of 3 GiB.pt": bytes_of(BOMBS["a bytearray of 3 GiB"]),
    "a header of a million lists.safetensors": bytes_of(BOMBS["a header of a million lists"]),
}


class Beside:
    """A session that keeps opening pages, in a separate thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.waited: list[tuple[str, float]] = []
        self.faults: list[str] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._click())
        except Exception as error:  # reported, as no clicks would look like no slow clicks
            self.faults.append(f"{type(error).__name__}: {error}")

    async def _click(self) -> None:
        async with stream(self.url, "7" * 32) as socket:
            person = Person(0, socket)
            listening = asyncio.create_task(person.listen())
            self.waited, self.faults = person.waited, person.faults
            for number in range(1_000_000):
                if self.over.is_set():
                    break
                page, query = VIEWS[number % len(VIEWS)]
                await person.ask(page, dict(query))
                await asyncio.sleep(CLICK_EVERY)
            listening.cancel()

    def taken(self) -> list[float]:
        """Waiting times of the clicks since the last call, in milliseconds."""
        found = [1000 * seconds for _, seconds in self.waited]
        self.waited.clear()
        return found

    def end(self) -> None:
        self.over.set()
        self.thread.join()


def bring_pairs(browser: Browser, url: str, path: Path) -> float:
    """Upload a file of pairs, which the browser sends in pieces; seconds until it was read."""
    page = browser.new_page()
    try:
        page.goto(f"{url}/train?task=pairs")
        settle(page)
        started = time.monotonic()
        page.get_by_label("File of pairs").set_input_files(path)
        page.get_by_text("Pairs read:").wait_for(timeout=LONGEST * 1000)
        return time.monotonic() - started
    finally:
        page.close()


def bring_model(server: Server, path: Path) -> float:
    """Upload a model, then select another; seconds until the upload was accepted, rejected, or
    answered with questions."""
    with Visitor(server) as visitor:
        visitor.open("checkpoints")
        started = time.monotonic()
        visitor.upload(UPLOAD, path.name, path.read_bytes())
        while not (visitor.seen.said or "Import" in visitor.seen.buttons):
            if time.monotonic() - started > LONGEST:
                raise TimeoutError(f"not dealt with after {LONGEST:.0f} s")
            time.sleep(0.5)
            visitor.open("checkpoints")
        took = time.monotonic() - started
        visitor.open("checkpoints")  # opened again, so that the field holds no file
        if "Checkpoint" in visitor.seen.boxes:
            visitor.choose("Checkpoint", "Reverse letters")
            visitor.open("decode", checkpoint="sort")  # frees what the page's fragments hold
            time.sleep(10)
    return took


def main(word: str) -> int:
    """Print the table; returns 1 if any file was too much."""
    bad = 0
    with (
        tempfile.TemporaryDirectory() as name,
        running_server(Path(name)) as server,
        running_browser() as browser,
    ):
        files = {Path(name, file): write for file, write in FILES.items() if word in file}
        process = psutil.Process(server.process.pid)
        beside = Beside(server.url)
        while len(beside.waited) < 3 * len(VIEWS) and not beside.faults:
            time.sleep(0.5)  # until every page was opened and PyTorch is imported
        alone = beside.taken()
        print(f"{'no file':50} {words(alone)}", flush=True)
        try:
            for path, write in files.items():
                write(path)
                beside.taken()
                with watched(process) as memory:
                    try:
                        pairs = path.suffix in (".tsv", ".csv")
                        took = (
                            bring_pairs(browser, server.url, path)
                            if pairs
                            else bring_model(server, path)
                        )
                        said = f"in {took:.1f} s"
                    except (PlaywrightError, TimeoutError) as error:
                        bad, said = 1, f"NOT DEALT WITH: {str(error).splitlines()[0]}"
                    time.sleep(2)
                size, waits = path.stat().st_size, beside.taken()
                problems = [*beside.faults, *memory.problems(size), *too_long(waits)]
                beside.faults.clear()
                bad |= bool(problems)
                print(f"{path.name:50} {words(waits)}")
                print(f"    {size / MEGABYTE:,.1f} MB {said}; server {memory.words(size)}")
                for problem in problems:
                    print(f"    TOO MUCH: {problem}")
                path.unlink()
                sys.stdout.flush()
        finally:
            beside.end()
        if said := server.faults():
            print(said)
            bad = 1
    return bad


@dataclass
class Memory:
    """A process's memory in bytes: before, at most, and after."""

    before: int
    most: int
    after: int = 0

    def words(self, size: int) -> str:
        more, stays = self.most - self.before, self.after - self.before
        return (
            f"{self.before / MEGABYTE:,.0f} MB, at most {more / MEGABYTE:+,.0f} "
            f"({more / size:.1f} times its size), afterwards {stays / MEGABYTE:+,.0f}"
        )

    def problems(self, size: int) -> list[str]:
        """The limits that a file of this size broke, in words."""
        found = []
        if self.most - self.before > max(MOST_TIMES * size, ANY_PAGE):
            found.append(f"the server grew by more than {MOST_TIMES:g} times its size")
        if self.after - self.before > max(MOST_STAYS * size, ANY_PAGE):
            found.append("the server stays grown")
        return found


def too_long(waits: list[float]) -> list[str]:
    """The problem in words if the other session's clicks waited too long; else nothing."""
    if not waits:
        return ["nobody could click"]
    slow = sorted(waits)[int(0.95 * len(waits))] > MOST_WAIT
    return [f"clicks wait longer than {MOST_WAIT:.0f} ms"] if slow else []


@contextmanager
def watched(process: psutil.Process) -> Iterator[Memory]:
    """Sample a process's memory fifty times a second until the block ends."""
    memory = Memory(process.memory_info().rss, 0)
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.02):
            memory.most = max(memory.most, process.memory_info().rss)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()
        memory.after = process.memory_info().rss


def words(waits: list[float]) -> str:
    """The number of clicks and their waiting times, given in milliseconds, as text."""
    if not waits:
        return "no click"
    waits = sorted(waits)
    return (
        f"{len(waits):3} clicks: median {statistics.median(waits):4.0f} ms, "
        f"95 % {waits[int(0.95 * len(waits))]:4.0f}, worst {waits[-1]:4.0f}"
    )


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))

"""What others wait for while one brings a heavy file: python -m benchmarks.heavy_files [WORD]

Ten files, those that take longest to read or to refuse, are given one after another to the Train
or the Checkpoints page in a real browser; then the person chooses another model. Meanwhile another
session, over its WebSocket, opens a page every half second. Prints for each file what those clicks
waited for, and the memory of the server: before, at most, and once another model was chosen. With a
word, only the files whose name holds it. Leave the machine idle.
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
from playwright.sync_api import Page, sync_playwright
from websockets.asyncio.client import connect

from benchmarks.class_of_thirty import PATIENCE, VIEWS, Person
from benchmarks.own_pairs import make
from tests.attacks.bombs import BOMBS
from tests.attacks.test_vocabularies import FORGED
from tests.support.server import CHROMIUM_FLAGS, find_browser, settle, start_server, stop_server
from transformer.checkpoint import Checkpoint
from transformer.config import TransformerConfig
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

CLICK_EVERY = 0.5
LONGEST = 300.0
"""Seconds in which a file must be dealt with."""
MEGABYTE = 1e6


def large_pairs(path: Path) -> None:
    make(path, 100)


def table_with_ids(path: Path) -> None:
    rows = (f"{n};кот спит {n};the cat sleeps {n}" for n in range(250_000))
    path.write_bytes("\r\n".join(["id;русский;english", *rows]).encode("cp1251"))


def own_checkpoint(words: int, d_model: int, layers: int) -> Callable[[Path], None]:
    """A checkpoint of ours with random weights."""

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
        bundled = Checkpoint.load(Path("checkpoints/reverse.safetensors"))
        pairs = [(vocabulary.tokens[9], vocabulary.tokens[9])]
        data, summary = bundled.header.data, bundled.summary
        path.write_bytes(
            Checkpoint.of(model, vocabulary, vocabulary, data, summary, pairs).to_bytes()
        )

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
    "nn.Transformer, 6 + 6 layers of 512.pt": state_dict,
    "one piece of 200,000.safetensors": bytes_of(FORGED["one piece of 200,000"]),
    "5,000 pieces of 500.safetensors": bytes_of(FORGED["5,000 pieces of 500"]),
    "a million keys.pt": bytes_of(BOMBS["a million keys in a zip"]),
    "a bytearray of 3 GiB.pt": bytes_of(BOMBS["a bytearray of 3 GiB"]),
    "a header of a million lists.safetensors": bytes_of(BOMBS["a header of a million lists"]),
}


class Beside:
    """A session that clicks all the time, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.waited: list[tuple[str, float]] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._click()))
        self.thread.start()

    async def _click(self) -> None:
        address = self.url.replace("http", "ws") + "/_stcore/stream"
        async with connect(
            address,
            subprotocols=["streamlit"],  # type: ignore[list-item]
            additional_headers={"Cookie": f"workbench={'7' * 32}", "Origin": self.url},
            max_size=None,
            open_timeout=PATIENCE,
        ) as socket:
            person = Person(0, socket)
            listening = asyncio.create_task(person.listen())
            self.waited = person.waited
            for number in range(1_000_000):
                if self.over.is_set():
                    break
                page, query = VIEWS[number % len(VIEWS)]
                await person.ask(page, dict(query))
                await asyncio.sleep(CLICK_EVERY)
            listening.cancel()

    def taken(self) -> list[float]:
        """Milliseconds of the clicks since the last call."""
        found = [1000 * seconds for _, seconds in self.waited]
        self.waited.clear()
        return found

    def end(self) -> None:
        self.over.set()
        self.thread.join()


def bring(page: Page, url: str, path: Path) -> float:
    """Seconds until a file was read or refused."""
    pairs = path.suffix in (".tsv", ".csv")
    page.goto(f"{url}/train?task=pairs" if pairs else f"{url}/checkpoints")
    settle(page)
    started = time.monotonic()
    if pairs:
        page.get_by_label("File of pairs").set_input_files(path)
        page.get_by_text("Pairs read:").wait_for(timeout=LONGEST * 1000)
    else:
        page.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(path)
        # Taken or refused, it is said; a state dict is asked about.
        told = page.get_by_test_id("stAlert").or_(page.get_by_role("button", name="Import"))
        told.first.wait_for(timeout=LONGEST * 1000)
    settle(page)
    return time.monotonic() - started


def choose_another(page: Page) -> None:
    """The model that was brought is not the current one any more."""
    box = page.get_by_role("combobox", name="Checkpoint", exact=True)
    if page.url.find("/checkpoints") < 0 or box.count() == 0:
        return
    box.click()
    page.keyboard.type("Reverse letters")
    page.keyboard.press("Enter")
    settle(page)


def main(word: str) -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        files = {Path(name, file): write for file, write in FILES.items() if word in file}
        for path, write in files.items():
            write(path)
        server = start_server(Path(name))
        process = psutil.Process(server.process.pid)
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        page = browser.new_page()
        beside = Beside(server.url)
        time.sleep(30)  # every page was opened, and PyTorch is there
        alone = beside.taken()
        print(f"{'no file':50} {words(alone)}", flush=True)
        try:
            for path in files:
                beside.taken()
                with watched(process) as memory:
                    took = bring(page, server.url, path)
                    choose_another(page)
                    time.sleep(1)
                size = path.stat().st_size / MEGABYTE
                print(f"{path.name:50} {words(beside.taken())}")
                print(f"    {size:,.1f} MB in {took:.1f} s; server {memory}", flush=True)
        finally:
            beside.end()
            browser.close()
            stop_server(server)


@dataclass
class Memory:
    """Of a process, in bytes: before, at most, and after."""

    before: int
    most: int
    after: int = 0

    def __str__(self) -> str:
        more, stays = self.most - self.before, self.after - self.before
        return (
            f"{self.before / MEGABYTE:,.0f} MB, at most {more / MEGABYTE:+,.0f}, "
            f"afterwards {stays / MEGABYTE:+,.0f}"
        )


@contextmanager
def watched(process: psutil.Process) -> Iterator[Memory]:
    """Its memory, sampled fifty times a second."""
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
    """What clicks waited for, in milliseconds."""
    if not waits:
        return "no click"
    waits = sorted(waits)
    return (
        f"{len(waits):3} clicks: median {statistics.median(waits):4.0f} ms, "
        f"95 % {waits[int(0.95 * len(waits))]:4.0f}, worst {waits[-1]:4.0f}"
    )


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))

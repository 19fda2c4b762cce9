"""The server's memory before, during and after reading a large file of pairs.

    python -m benchmarks.own_pairs [MEGABYTES]

A file of made-up pairs is uploaded on the Train page in a real browser; the server's resident
memory is sampled fifty times a second until the file is read.
"""

import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from tests.support.server import running_browser, running_server, settle

MEGABYTE = 1e6
WORDS = 50_000


def make(path: Path, megabytes: float) -> None:
    """Write pairs of 3 to 12 made-up words, some frequent, until the file has ``megabytes``."""
    draw = random.Random(1)
    words = [
        "".join(draw.choices("abcdefghijklmnopqrstuvwxyzäöü", k=2 + n % 8)) for n in range(WORDS)
    ]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < megabytes * MEGABYTE:
            for _ in range(1_000):
                count = draw.randint(3, 12)
                source, target = (
                    " ".join(words[int(WORDS * draw.random() ** 3)] for _ in range(count))
                    for _ in range(2)
                )
                file.write(f"{source}\t{target}\n")


def main() -> None:
    megabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 100.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "large.tsv"
        make(file, megabytes)
        with running_server(folder) as server:
            measure(server.url, psutil.Process(server.process.pid), file)


def measure(url: str, server: psutil.Process, file: Path) -> None:
    peak = 0
    over = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, server.memory_info().rss)

    with running_browser() as browser:
        page = browser.new_page()
        page.goto(url)
        page.get_by_text("It writes").wait_for(timeout=120_000)  # PyTorch's memory is included
        page.goto(f"{url}/train?task=pairs")
        settle(page)
        before = server.memory_info().rss
        threading.Thread(target=sample, daemon=True).start()
        started = time.monotonic()
        page.get_by_label("File of pairs").set_input_files(file)
        page.get_by_text("Reading the pairs").wait_for(timeout=600_000)
        sent = time.monotonic()
        print(f"sent     {sent - started:6.1f} s   peak +{(peak - before) / MEGABYTE:.0f} MB")
        page.get_by_text("Pairs read:").wait_for(timeout=1_800_000)
        settle(page)
        over.set()
        print(
            f"read     {time.monotonic() - sent:6.1f} s   peak +{(peak - before) / MEGABYTE:.0f} MB"
        )
        after = server.memory_info().rss
        print(f"server   {before / MEGABYTE:.0f} MB before, {after / MEGABYTE:.0f} MB after")


if __name__ == "__main__":
    main()

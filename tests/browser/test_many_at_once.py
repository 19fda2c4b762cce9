"""Many clients of one server at once, slow ones, and ones that disconnect; without a browser.

The clients speak HTTP themselves: only the server is tested.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from pages.components.shell.text import plain
from tests.support.checkpoint_files import WORDS, wild_model
from tests.support.server import Server, running_server
from tests.support.trainers import wait_for
from tests.support.visitor import Visitor
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig

UPLOAD, LESSON = "Bring a model: drop a file here", "Try yours: drop the file"
LONG = pytest.mark.long


def model(number: int, megabytes: float) -> bytes:
    """A checkpoint file of about this size, different for each number."""
    size = {} if megabytes < 1 else {"d_model": 512, "d_ff": int(megabytes * 1e6 / 4 / 2048 / 1.02)}
    made = wild_model(num_encoder_layers=1, num_decoder_layers=1, **size)
    notes = f"number {number}"
    return Checkpoint.of(made, WORDS, WORDS, DataConfig(task="reverse"), None, [], notes).to_bytes()


def all_of(act: Callable[[int], None], count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(act, range(count)))


def taken(visitor: Visitor, name: str) -> bool:
    return any(plain(name) in said and "is here and chosen" in said for said in visitor.seen.said)


def arriving(server: Server) -> list[Path]:
    folder = server.folder / "runs" / "uploads" / "arriving"
    return [path for path in folder.glob("*") if path.is_file()]


@contextmanager
def clicking(server: Server) -> Iterator[list[float]]:
    """Let another visitor click twice a second; yields the list of each click's seconds."""
    waited, over = list[float](), threading.Event()

    def click() -> None:
        with Visitor(server) as visitor:
            while not over.wait(0.5):
                waited.append(visitor.open("decode", checkpoint="sort", input="workbench"))

    thread = threading.Thread(target=click)
    thread.start()
    try:
        yield waited
    finally:
        over.set()
        thread.join()


def test_three_models_at_once(server: Server) -> None:
    def bring(number: int) -> None:
        with Visitor(server) as visitor:
            visitor.open("checkpoints")
            visitor.upload(UPLOAD, f"at-once-{number}.safetensors", model(number, 0))
            assert taken(visitor, f"at-once-{number}"), visitor.seen

    all_of(bring, 3)
    assert not server.faults()
    assert not arriving(server)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as running:
        yield running


@LONG
def test_three_models_of_134_mb_at_once(own_server: Server) -> None:
    contents = [model(number, 134) for number in range(3)]
    whole = sum(map(len, contents))
    process = psutil.Process(own_server.process.pid)

    def bring(number: int) -> None:
        with Visitor(own_server) as visitor:
            visitor.open("checkpoints")
            visitor.upload(UPLOAD, f"large-{number}.safetensors", contents[number])
            assert taken(visitor, f"large-{number}"), visitor.seen
            # Open another model; twice, since the app may take an address right after a choice for
            # one sent before it.
            for _ in range(2):
                visitor.open("decode", checkpoint="sort", input="workbench")

    with Visitor(own_server) as first, clicking(own_server) as waited:
        first.open("checkpoints", checkpoint="reverse")
        before, most, over = process.memory_info().rss, [0], threading.Event()

        def watch() -> None:
            while not over.wait(0.02):
                most[0] = max(most[0], process.memory_info().rss)

        watching = threading.Thread(target=watch)
        watching.start()
        all_of(bring, 3)
        over.set()
        watching.join()
        wait_for(
            lambda: process.memory_info().rss - before < whole / 3, "the memory of three models"
        )
        after = process.memory_info().rss
    assert most[0] - before < 3 * whole
    waited.sort()
    assert waited[int(0.95 * len(waited))] < 2  # seconds, on a machine that others use too
    assert not own_server.faults()
    assert not arriving(own_server)
    print(f"{whole=} {most[0] - before=} {after - before=} {waited[-3:]=}")


def test_a_file_that_trickles_holds_up_nobody_and_arrives(server: Server) -> None:
    content = model(10, 0)
    with Visitor(server) as slow, Visitor(server) as other:
        slow.open("checkpoints")
        other.open("decode", checkpoint="sort", input="workbench")
        place = slow.place("slow.safetensors")
        with slow.sending(place, "slow.safetensors", len(content)) as connection:
            for number in range(10):
                connection.sendall(content[number : number + 1])
                time.sleep(0.02)
            assert other.open("decode", checkpoint="sort", input="workbench") < 10
            connection.sendall(content[10:])
            assert slow.end(connection) == 204
        slow.announce_upload(UPLOAD, place, "slow.safetensors", len(content))
        assert taken(slow, "slow.safetensors"), slow.seen
    assert not server.faults()


def test_a_file_that_breaks_off_leaves_nothing_and_comes_again(server: Server) -> None:
    content, start = model(11, 0), len(server.log())
    with Visitor(server) as visitor:
        visitor.open("checkpoints")
        place = visitor.place("torn.safetensors")
        with visitor.sending(place, "torn.safetensors", len(content)) as connection:
            connection.sendall(content[: len(content) // 2])
        # Announcing a file that never arrived is no fault either.
        visitor.announce_upload(UPLOAD, place, "torn.safetensors", len(content))
        assert not taken(visitor, "torn")
        visitor.open("checkpoints")
        visitor.upload(UPLOAD, "whole.safetensors", content)
        assert taken(visitor, "whole.safetensors"), visitor.seen
    assert not arriving(server)
    assert not server.faults(start)


def test_who_connects_and_says_nothing_holds_up_nobody(server: Server) -> None:
    port = urlsplit(server.url).port or 80
    silent = [socket.create_connection(("localhost", port)) for _ in range(100)]
    for number, connection in enumerate(silent):
        if number % 2:
            connection.sendall(b"GET /_stcore/stream HTTP/1.1\r\nHost: local")
    with Visitor(server) as visitor:
        assert visitor.open("decode", checkpoint="sort", input="workbench") < 10
    for connection in silent:
        connection.close()
    assert not server.faults()


@pytest.mark.parametrize("count", [5, pytest.param(30, marks=LONG)])
def test_many_lessons_at_once(server: Server, count: int) -> None:
    def bring(number: int) -> None:
        lesson = f"# Week {number}\n\n- [One](train?task=sort): What is {number}?\n"
        with Visitor(server) as visitor:
            visitor.open("learn", learn="lesson")
            visitor.upload(LESSON, f"week-{number}.md", lesson.encode())
            assert not visitor.seen.exceptions
            assert not visitor.seen.said

    all_of(bring, count)
    assert not server.faults()

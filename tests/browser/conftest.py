"""A real server in a folder of its own, and a real Chromium that notices every fault."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, WebSocket, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.run import installed_browser
from tests.support.trainers import end_runs
from transformer.checkpoint.checkpoint import Checkpoint
from transformer.hooks import record
from transformer.runs.directory import list_runs

if TYPE_CHECKING:
    from tests.support.explorer import Explorer

ROOT = Path(__file__).resolve().parents[2]
expect.set_options(timeout=40_000)  # on a busy machine, a page may take long
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
]


def find_browser() -> str | None:
    """The path of a Chromium on this machine; None means Playwright's own."""
    return installed_browser() or None


LEFT_WHILE_CONNECTING = re.compile(
    r"Exception in ASGI application\n"
    r"(?:Traceback .*\n(?: .*\n)+starlette\.websockets\.WebSocketDisconnected.*\n"
    r"(?:\s*During handling of .*\n\s*)?)+"
)
"""What Streamlit's server prints when a tab is closed at the very moment in which it connects."""


@dataclass
class Server:
    """A running app: its address, the folder it runs in, and what it has printed."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def log(self) -> str:
        return (self.folder / "server.log").read_text("utf-8", "replace")

    def faults(self, start: int = 0) -> str:
        """What the log says from there on, if an exception is in it that is the app's."""
        said = LEFT_WHILE_CONNECTING.sub("", self.log()[start:])
        return said if "Traceback" in said else ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    return port


def start_server(
    folder: Path, script: Path = ROOT / "app.py", port: int = 0, **environment: str
) -> Server:
    """The app, or one page of it, in a folder where it keeps its runs; its config comes along."""
    (folder / ".streamlit").symlink_to(ROOT / ".streamlit")
    for _ in range(3):  # another process may take the port in between
        port = port or free_port()
        command = [sys.executable, "-m", "streamlit", "run", str(script)]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--server.port", str(port), "--server.headless", "true"],
                cwd=folder,
                stdout=log,
                stderr=log,
                env=os.environ | environment,
            )
        url = f"http://localhost:{port}"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).read()
                return Server(url, folder, process)
            except OSError:
                if process.poll() is not None:
                    break
                time.sleep(0.1)
        process.kill()
        port = 0
    raise RuntimeError((folder / "server.log").read_text())


def stop_server(server: Server) -> None:
    server.process.terminate()
    server.process.wait(10)
    # Trainers outlive the app, and its pages, on purpose; a test must not leave any behind.
    end_runs(server.folder / "runs")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not need a cold one."""
    running = start_server(tmp_path_factory.mktemp("app"))
    yield running
    stop_server(running)


@pytest.fixture(scope="session")
def cold_port() -> int:
    """Of all cold servers, one after another: what browsers keep of the app is kept by address."""
    return free_port()


@pytest.fixture
def cold_server(tmp_path: Path, cold_port: int) -> Iterator[Server]:
    running = start_server(tmp_path, port=cold_port)
    yield running
    stop_server(running)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # A page that is opened again finds the app's scripts compiled.
        flags = [*CHROMIUM_FLAGS, "--js-flags=--no-flush-bytecode"]
        running = playwright.chromium.launch(executable_path=find_browser(), args=flags)
        yield running
        running.close()


@pytest.fixture(scope="module")
def class_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An app that a class shares."""
    running = start_server(tmp_path_factory.mktemp("class"), WORKBENCH_MODE="class")
    yield running
    stop_server(running)


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    """The weights of the view that most tests open, from the library alone."""
    checkpoint = Checkpoint.load(ROOT / "checkpoints" / "sort.safetensors")
    source = checkpoint.encode("workbench")
    written = checkpoint.target_vocabulary.encode("bcehknorw")
    read = torch.tensor([[checkpoint.config.decoder_start_id, *written]])
    with torch.inference_mode(), record(checkpoint.model) as trace:
        checkpoint.model(source, read)
    return {
        "encoder": trace.encoder_attention.numpy(),
        "decoder": trace.decoder_attention.numpy(),
        "cross": trace.cross_attention.numpy(),
    }


@pytest.fixture(scope="module")
def explorer(server: Server, browser: Browser) -> "Iterator[Explorer]":
    from tests.support.explorer import Explorer  # which stands on this module

    context = browser.new_context(viewport={"width": 1280, "height": 1400}, accept_downloads=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield Explorer(page, server)
    context.close()
    assert not faults
    assert not server.faults()


NewPage = Callable[..., Page]


LOCAL = ("http://localhost", "ws://localhost", "data:", "blob:", "file:")
"""What a page may ask for; a file is one that a test opens by itself."""


class Person:
    """A browser context that one test after another gets as it was new, with a page in it.

    The scripts of the app stay in its cache, and compiled in the page's process: opening a page
    costs a third of what it costs in a new context.
    """

    def __init__(self, browser: Browser) -> None:
        self.faults: list[str] = []
        self.context = browser.new_context(accept_downloads=True)
        self.context.on("weberror", lambda e: self.faults.append(f"page error: {e.error}"))
        self.context.on("request", lambda sent: self.check(sent.url))
        self.page: Page | None = None

    def check(self, url: str) -> None:
        if not url.startswith(LOCAL):
            self.faults.append(f"left the machine: {url}")

    def arrive(self, width: int, scheme: str) -> Page:
        if self.page is None or self.page.is_closed():
            self.page = self.context.new_page()
        self.page.set_viewport_size({"width": width, "height": 1000})
        self.page.emulate_media(
            color_scheme="dark" if scheme == "dark" else "light", reduced_motion="no-preference"
        )
        return self.page

    def leave(self) -> None:
        """Nothing is left of a test: no tab, nothing stored, no pointer over what comes next."""
        for page in self.context.pages:
            if page is not self.page:
                page.close()
            elif page.url.startswith("http"):
                page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
                page.goto("about:blank")
                page.mouse.move(0, 0)
        self.context.clear_cookies()
        self.context.clear_permissions()


@pytest.fixture(scope="session")
def people(browser: Browser) -> list[Person]:
    """All that were needed so far."""
    return []


@pytest.fixture
def new_page(
    browser: Browser, people: list[Person], request: pytest.FixtureRequest
) -> Iterator[NewPage]:
    """Gives pages, each in a browser context of its own: another person's browser.

    Afterwards the test fails if a page raised an error, asked another machine for anything,
    or made the server print a traceback.
    """
    here: list[Person] = []
    servers = [
        request.getfixturevalue(name)
        for name in ("server", "cold_server", "class_server")
        if name in request.fixturenames
    ]
    logged = [len(server.log()) for server in servers]

    def arrive(width: int = 1280, scheme: str = "light") -> Page:
        here.append(people.pop() if people else Person(browser))
        return here[-1].arrive(width, scheme)

    yield arrive
    faults: list[str] = []
    for person in reversed(here):  # who came first is the next to be asked
        try:
            person.leave()
            people.append(person)
        except PlaywrightError as error:  # not fit for another test
            faults.append(f"the page could not be left: {error}")
            person.context.close()
        faults += person.faults
        person.faults.clear()
    for server in servers:
        end_runs(server.folder / "runs")
    for server, length in zip(servers, logged, strict=True):
        faults.append(server.faults(length))
    assert not any(faults), "\n".join(faults)


def press_train(page: Page, server: Server, button: str = "Train") -> None:
    """Start a run, and wait until the page shows it and no longer the run before."""
    known = {run.id for run in list_runs(server.folder / "runs")}
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_url(
        lambda url: "run=" in url and url.split("run=")[1][:12] not in known, timeout=60_000
    )
    settle(page)


def settle(page: Page) -> None:
    """Wait until the server has answered and nothing on the page is stale.

    That must hold for some frames on end: what was just given may still be on its way to the
    server, and until it has left, the page looks as settled as it ever will.
    """
    page.wait_for_function(
        """call => {
          const app = document.querySelector('[data-testid=stApp]');
          const still = app && app.dataset.testScriptState === 'notRunning'
            && app.dataset.testConnectionState === 'CONNECTED'
            && !document.querySelector('[data-stale=true], [data-testid=stSkeleton]');
          if (!still || window.still?.call !== call)
            window.still = {call, since: performance.now(), frames: 0};
          window.still.frames += 1;
          return still && window.still.frames > 5 && performance.now() - window.still.since > 80;
        }""",
        arg=time.monotonic_ns(),  # each call counts its own frames
        timeout=60_000,
    )


def upload(page: Page, name: str, content: bytes) -> None:
    """Give a file to the page's field for one, and wait until it was dealt with."""
    field = page.locator("[data-testid=stFileUploader] input[type=file]")
    expect(field).to_have_count(1)  # after a file, an empty field takes the place of the old one
    with page.expect_response(re.compile("/_stcore/upload_file/")):
        field.set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        )
    settle(page)


def watch_traffic(page: Page) -> list[str]:
    """A list that grows with each request and each WebSocket frame from now on."""
    traffic: list[str] = []

    def follow(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: traffic.append("sent"))
        socket.on("framereceived", lambda frame: traffic.append("received"))

    page.on("request", lambda request: traffic.append(request.url))
    page.on("websocket", follow)
    return traffic

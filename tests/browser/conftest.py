"""A real server in a folder of its own, and a real Chromium that notices every fault."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, BrowserContext, Page, WebSocket, expect, sync_playwright

from tests.run import installed_browser
from tests.trainers import end_runs
from transformer.checkpoint import Checkpoint
from transformer.hooks import record
from transformer.runs import list_runs

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


@dataclass
class Server:
    """A running app: its address, the folder it runs in, and what it has printed."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def log(self) -> str:
        return (self.folder / "server.log").read_text("utf-8", "replace")


def start_server(folder: Path, script: Path = ROOT / "app.py", **environment: str) -> Server:
    """The app, or one page of it, in a folder where it keeps its runs; its config comes along."""
    (folder / ".streamlit").symlink_to(ROOT / ".streamlit")
    for _ in range(3):  # another process may take the port in between
        with socket.socket() as probe:
            probe.bind(("localhost", 0))
            port = probe.getsockname()[1]
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


@pytest.fixture
def cold_server(tmp_path: Path) -> Iterator[Server]:
    running = start_server(tmp_path)
    yield running
    stop_server(running)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
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


NewPage = Callable[..., Page]


LOCAL = ("http://localhost", "ws://localhost", "data:", "blob:", "file:")
"""What a page may ask for; a file is one that a test opens by itself."""


@pytest.fixture
def new_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[NewPage]:
    """Makes pages, each in a browser context of its own: another person's browser.

    Afterwards the test fails if a page raised an error, asked another machine for anything,
    or made the server print a traceback.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []
    servers = [
        request.getfixturevalue(name)
        for name in ("server", "cold_server", "class_server")
        if name in request.fixturenames
    ]
    logged = [len(server.log()) for server in servers]

    def make(width: int = 1280, scheme: str = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 1000},
            color_scheme="dark" if scheme == "dark" else "light",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
        page.on(
            "request",
            lambda sent: (
                None
                if sent.url.startswith(LOCAL)
                else faults.append(f"left the machine: {sent.url}")
            ),
        )
        return page

    yield make
    for context in contexts:
        context.close()
    for server in servers:
        end_runs(server.folder / "runs")
    for server, length in zip(servers, logged, strict=True):
        if "Traceback" in (new := server.log()[length:]):
            faults.append(new)
    assert not faults, "\n".join(faults)


def press_train(page: Page, server: Server, button: str = "Train") -> None:
    """Start a run, and wait until the page shows it and no longer the run before."""
    known = {run.id for run in list_runs(server.folder / "runs")}
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_url(
        lambda url: "run=" in url and url.split("run=")[1][:12] not in known, timeout=60_000
    )
    settle(page)


def settle(page: Page) -> None:
    """Wait until the server has answered and nothing on the page is stale."""
    page.wait_for_function(
        """() => {
          const app = document.querySelector('[data-testid=stApp]');
          return app && app.dataset.testScriptState === 'notRunning'
            && app.dataset.testConnectionState === 'CONNECTED'
            && !document.querySelector('[data-stale=true], [data-testid=stSkeleton]');
        }""",
        timeout=60_000,
    )
    page.wait_for_timeout(80)


def watch_traffic(page: Page) -> list[str]:
    """A list that grows with each request and each WebSocket frame from now on."""
    traffic: list[str] = []

    def follow(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: traffic.append("sent"))
        socket.on("framereceived", lambda frame: traffic.append("received"))

    page.on("request", lambda request: traffic.append(request.url))
    page.on("websocket", follow)
    return traffic

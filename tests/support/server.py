"""Starts a real server in a separate folder, and drives a page of the app in a browser.

Used by the browser tests, the benchmarks and the pictures of docs/.
"""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, WebSocket, expect, sync_playwright

from tests.run import installed_browser
from tests.support.places import ROOT
from tests.support.trainers import end_runs, wait_for
from transformer.runs.directory import ACTIVE, list_runs

expect.set_options(timeout=60_000)  # on a busy machine, a page may take long
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
"""What Streamlit's server prints when a tab is closed just while it connects."""


BROKE_OFF = re.compile(
    r"Exception in ASGI application\n"
    r"Traceback .*\n(?: .*\n)+starlette\.requests\.ClientDisconnect.*\n"
)
"""What it prints when an upload is interrupted."""


@dataclass
class Server:
    """A running app: its address, the folder it runs in, and what it has printed."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    def log(self) -> str:
        return (self.folder / "server.log").read_text("utf-8", "replace")

    def faults(self, start: int = 0) -> str:
        """The log from character ``start`` on if it has an exception of the app, else ""."""
        said = BROKE_OFF.sub("", LEFT_WHILE_CONNECTING.sub("", self.log()[start:]))
        return said if "Traceback" in said else ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    return port


def start_server(
    folder: Path, script: Path = ROOT / "app.py", port: int = 0, **environment: str
) -> Server:
    """Start the app, or another script, in a folder for its runs, with the project's config."""
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
    # Trainers outlive the app on purpose; a test must not leave any behind.
    end_runs(server.folder / "runs")


@contextmanager
def running_server(
    folder: Path, script: Path = ROOT / "app.py", port: int = 0, **environment: str
) -> Iterator[Server]:
    """As :func:`start_server`; the server is stopped at the end of the block."""
    server = start_server(folder, script, port, **environment)
    try:
        yield server
    finally:
        stop_server(server)


@contextmanager
def running_browser(*flags: str) -> Iterator[Browser]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=[*CHROMIUM_FLAGS, *flags]
        )
        yield browser
        browser.close()


def press_train(page: Page, server: Server, button: str = "Train") -> None:
    """Start a run, and wait until the page shows it instead of the run before."""
    known = {run.id for run in list_runs(server.folder / "runs")}
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_url(
        lambda url: "run=" in url and url.split("run=")[1][:12] not in known, timeout=60_000
    )
    settle(page)


def trained(page: Page, server: Server) -> None:
    """Leave the page, wait until the newest run has ended, and open the page again.

    A page that shows an active run is drawn every second, which takes a third of a core.
    """
    run, address = list_runs(server.folder / "runs")[0], page.url
    page.goto("about:blank")
    wait_for(lambda: run.status().state not in ("queued", *ACTIVE), f"{run.path} to end")
    page.goto(address)
    settle(page)


def settle(page: Page) -> None:
    """Wait until the server has answered and nothing on the page is stale.

    An empty page counts as unanswered: a busy server takes its time. The state must last for
    several frames: as long as an input has not been sent yet, the page looks settled.
    """
    page.wait_for_function(
        """call => {
          const app = document.querySelector('[data-testid=stApp]');
          const still = app && app.dataset.testScriptState === 'notRunning'
            && app.dataset.testConnectionState === 'CONNECTED'
            && document.querySelector('[data-testid=stElementContainer]')
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
    """Upload a file in the page's upload field, and wait until the page has processed it."""
    field = page.locator("[data-testid=stFileUploader] input[type=file]")
    expect(field).to_have_count(1)  # after an upload, an empty field replaces the old one
    with page.expect_response(re.compile("/_stcore/upload_file/")):
        field.set_input_files(
            {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        )
    settle(page)


def watch_traffic(page: Page) -> list[str]:
    """A list to which each request and each WebSocket frame is added from now on."""
    traffic: list[str] = []

    def follow(socket: WebSocket) -> None:
        socket.on("framesent", lambda frame: traffic.append("sent"))
        socket.on("framereceived", lambda frame: traffic.append("received"))

    page.on("request", lambda request: traffic.append(request.url))
    page.on("websocket", follow)
    return traffic

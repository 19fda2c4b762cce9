"""A server in class mode: who may see and stop a run, and which requests it accepts."""

import base64
import http.client
import os
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.support.server import Server, press_train, settle


def train(page: Page, server: Server, task: str = "reverse") -> str:
    """Start a run; returns its id."""
    # Few examples, since a stopped run still evaluates all of them before it ends.
    page.goto(f"{server.url}/train?task={task}&eval_examples=16&final_examples=16")
    settle(page)
    if task == "pairs":
        page.get_by_label("Your pairs, one a line").fill("ein Geheimnis -> a secret\nja -> yes")
        page.keyboard.press("Control+Enter")
        settle(page)
    press_train(page, server)
    return re.findall("run=([0-9a-f]{12})", page.url)[0]


def test_a_run_belongs_to_the_browser_that_started_it(
    class_server: Server, new_page: NewPage
) -> None:
    """A single test, since it needs a separate server."""
    mine, other = new_page(), new_page()
    run = train(mine, class_server)
    stop = "Stop and keep what was learned"
    expect(mine.get_by_role("button", name=stop)).to_be_visible()
    other.goto(f"{class_server.url}/train?run={run}")
    expect(other.get_by_text("Only the browser that started this run")).to_be_visible()
    expect(other.get_by_role("button", name=stop)).to_have_count(0)
    # The browser keeps the token; the run stores only its hash.
    [cookie] = [c for c in mine.context.cookies() if c["name"] == "workbench"]
    assert cookie["sameSite"] == "Strict"
    for path in (class_server.folder / "runs" / run).glob("*.json"):
        assert cookie["value"] not in path.read_text()
    # A second tab of the same browser may still stop the run.
    tab = mine.context.new_page()
    tab.goto(f"{class_server.url}/train?run={run}")
    expect(tab.get_by_role("button", name=stop)).to_be_visible()
    tab.get_by_role("button", name=stop).click()
    expect(tab.get_by_text("Stopped; what was learned is saved")).to_be_visible()
    # A run on the user's own pairs is not even visible to others.
    run = train(mine, class_server, "pairs")
    expect(mine.get_by_role("combobox", name="Run")).to_have_value(re.compile("^Own pairs "))
    for address in (f"train?run={run}", f"attention?checkpoint=run-{run}-0"):
        other.goto(f"{class_server.url}/{address}")
        expect(other.get_by_text(f"{run}").filter(has_text="is not here")).to_be_visible()
    other.goto(class_server.url)
    settle(other)
    expect(other.get_by_text("Own pairs (")).to_have_count(0)


def handshake(server: Server, **headers: str) -> int:
    """The status of a WebSocket request with these headers, as a page of any site could send it."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection("localhost", address.port, timeout=10)
    key = base64.b64encode(os.urandom(16)).decode()
    fixed = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    connection.putrequest("GET", "/_stcore/stream", skip_host=True)
    for name, value in {**fixed, "Sec-WebSocket-Key": key, **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    ("host", "origin", "let_in"),
    [
        ("localhost", "http://localhost", True),
        ("evil.example", "http://evil.example", False),  # a name that resolves to this machine
        ("localhost", "http://evil.example", False),  # another site's page
    ],
)
def test_only_its_own_pages_reach_the_app(
    server: Server, host: str, origin: str, let_in: bool
) -> None:
    port = urlsplit(server.url).port
    status = handshake(server, Host=f"{host}:{port}", Origin=f"{origin}:{port}")
    assert (status == 101) is let_in, status

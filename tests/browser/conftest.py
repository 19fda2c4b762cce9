"""Fixtures: a real server in its own folder, and a real Chromium that records every fault."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize
from playwright.sync_api import Error as PlaywrightError

from tests.support.explorer import Explorer, Truth, attention_of
from tests.support.places import bundled_file
from tests.support.server import Server, free_port, running_server
from tests.support.trainers import end_runs
from transformer.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not need a cold one."""
    with running_server(tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture(scope="session")
def cold_port() -> int:
    """The port of all cold servers, one after another: browsers cache the app by its address."""
    return free_port()


@pytest.fixture
def cold_server(tmp_path: Path, cold_port: int) -> Iterator[Server]:
    with running_server(tmp_path, port=cold_port) as running:
        yield running


@pytest.fixture(scope="module")
def class_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in class mode."""
    with running_server(tmp_path_factory.mktemp("class"), WORKBENCH_MODE="class") as running:
        yield running


@pytest.fixture(scope="module")
def truth() -> Truth:
    """The attention weights of the view that most tests open, computed by the library alone."""
    checkpoint = Checkpoint.load(bundled_file("sort"))
    return attention_of(checkpoint, "workbench", "bcehknorw")


@pytest.fixture(scope="module")
def shared_explorer(server: Server, browser: Browser) -> Iterator[Explorer]:
    size: ViewportSize = {"width": 1280, "height": 1400}
    context = still(browser.new_context(viewport=size, accept_downloads=True))
    yield Explorer(context.new_page(), server)
    context.close()


@pytest.fixture
def explorer(
    server: Server, shared_explorer: Explorer, request: pytest.FixtureRequest
) -> Iterator[Explorer]:
    """The page that a module's tests share; after a failed test, the next one loads it anew."""
    page, faults, logged = shared_explorer.page, [], len(server.log())

    def note(error: PlaywrightError) -> None:
        faults.append(str(error))

    page.on("pageerror", note)
    failed = request.session.testsfailed
    yield shared_explorer
    page.remove_listener("pageerror", note)
    if request.session.testsfailed > failed:
        page.emulate_media(color_scheme="light")
        shared_explorer.opened = ("", "")
    assert not faults
    assert not server.faults(logged)


NewPage = Callable[..., Page]


def kept(server: Server) -> set[Path]:
    """Files and folders under the server's runs/, without lock files, which all tests share."""
    return {
        Path(folder, name)
        for folder, folders, files in os.walk(server.folder / "runs")  # some may vanish meanwhile
        for name in (*folders, *files)
        if not name.endswith(".lock")
    }


def remove_since(server: Server, before: set[Path]) -> None:
    """End the runs of a test, and remove the files it left on the server.

    Otherwise a retry of the test would find the files of its first try.
    """
    end_runs(server.folder / "runs")
    for path in sorted(kept(server) - before, reverse=True):  # contents before their folder
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


LOCAL = ("http://localhost", "ws://localhost", "data:", "blob:", "file:")
"""URL prefixes that a page may request; "file:" is for pages that a test opens itself."""


STILL = """() => {
  const style = new CSSStyleSheet();
  style.replaceSync('*, *::before, *::after { animation: none !important; }');
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, style];
}"""
"""Stops animations: Streamlit's shimmering placeholders take a third of a page's loading time."""


def still(context: BrowserContext) -> BrowserContext:
    """Stop all animations in the context's pages; returns the context."""
    context.add_init_script(f"({STILL})()")
    context.set_default_timeout(60_000)  # as for `expect`: pages may be slow
    return context


MOST_ENTRIES = 25
"""Tabs with a longer history are closed: a browser counts no more than 50 entries."""


class Person:
    """A browser context with one page, reset after each test and given to the next.

    The app's scripts stay cached, and compiled in the page's process: opening a page costs a third
    of what it costs in a new context.
    """

    def __init__(self, browser: Browser) -> None:
        self.faults: list[str] = []
        self.context = still(browser.new_context(accept_downloads=True))
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
        """Reset the context: close other tabs, clear stored data, move the pointer away."""
        for page in self.context.pages:
            if page is not self.page:
                page.close()
            elif page.url.startswith("http"):
                page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
                if page.evaluate("history.length") > MOST_ENTRIES:
                    page.close()  # the next test gets a new tab
                    continue
                page.goto("about:blank")
                page.mouse.move(0, 0)
        self.context.clear_cookies()
        self.context.clear_permissions()


@pytest.fixture(scope="session")
def people(browser: Browser) -> list[Person]:
    """The browser contexts that no test uses at the moment."""
    return []


@pytest.fixture
def new_page(
    browser: Browser, people: list[Person], request: pytest.FixtureRequest
) -> Iterator[NewPage]:
    """Gives pages, each in its own browser context, as if in another person's browser.

    Afterwards the test fails if a page raised an error, requested anything from another machine, or
    made the server print a traceback. The files it left on the server are removed.
    """
    here: list[Person] = []
    servers = [
        request.getfixturevalue(name)
        for name in ("server", "cold_server", "class_server")
        if name in request.fixturenames
    ]
    logged = [len(server.log()) for server in servers]
    before = [kept(server) for server in servers]

    def arrive(width: int = 1280, scheme: str = "light") -> Page:
        here.append(people.pop() if people else Person(browser))
        return here[-1].arrive(width, scheme)

    yield arrive
    faults: list[str] = []
    for person in reversed(here):  # the first to arrive is given out again first
        try:
            person.leave()
            people.append(person)
        except PlaywrightError as error:  # not usable for another test
            faults.append(f"the page could not be left: {error}")
            person.context.close()
        faults += person.faults
        person.faults.clear()
    for server, length, files in zip(servers, logged, before, strict=True):
        remove_since(server, files)
        faults.append(server.faults(length))
    assert not any(faults), "\n".join(faults)

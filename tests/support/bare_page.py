"""A widget on an empty page, without a server: its script gets data as from Streamlit."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page

from pages.components.shell.mount import Widget

PAGE = """<!doctype html><html lang="en"><title>A widget</title><style>
:root {
  --st-font: sans-serif; --st-code-font: monospace; --st-base-radius: 0.4rem;
  --st-primary-color: #0b57d0; --st-background-color: #ffffff;
  --st-secondary-background-color: #f2f5f9; --st-text-color: #0d1116; --st-border-color: #c4c9d0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --st-primary-color: #2f6fd6; --st-background-color: #11151a;
    --st-secondary-background-color: #1b2129; --st-text-color: #e6eaef; --st-border-color: #4a525c;
  }
}
body { margin: 1rem; background: var(--st-background-color); color: var(--st-text-color); }
</style><main id="here"></main></html>"""
"""A page with the CSS variables of Streamlit's theme, light and dark."""
ADDRESS = "http://localhost/"
"""Requests to it are answered inside the browser; a secure context, like the app's own page."""

MOUNT = """async ({ script, style, html }) => {
  const root = document.getElementById("here").attachShadow({ mode: "open" });
  const parent = document.createElement("div");
  parent.innerHTML = html;
  const sheet = document.createElement("style");
  sheet.textContent = style;
  root.append(sheet, parent);
  const module = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { default: draw } = await import(module);
  window.sent = [];
  let last = null, bytes = null;
  window.draw = ({ json, packed }) => {
    // Streamlit hands on the same bytes as long as they are the same.
    if (packed !== undefined && packed !== last) {
      bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
      last = packed;
    }
    draw({
      data: packed === undefined ? [json] : bytes,
      parentElement: parent,
      setStateValue: (name, value) => window.sent.push(["state", name, value]),
      setTriggerValue: (name, value) => window.sent.push(["trigger", name, value]),
    });
  };
}"""


class BarePage:
    """One widget in one page.

    sent: the messages of the widget to Python so far, each ["state" or "trigger", name, value].
    """

    def __init__(self, page: Page, widget: Widget) -> None:
        self.page = page
        page.goto(ADDRESS)
        page.evaluate(
            MOUNT,
            {"script": widget.script_in_streamlit, "style": widget.style, "html": widget.html},
        )

    def draw(self, data: Any) -> None:
        """Give the widget data; called again, it acts like a later run of the page's script."""
        packed = base64.b64encode(data).decode() if isinstance(data, bytes) else None
        given = {"json": data} if packed is None else {"packed": packed}
        self.page.evaluate("(given) => window.draw(given)", given)
        self.next_frame()

    @property
    def sent(self) -> list[Any]:
        found: list[Any] = self.page.evaluate("window.sent")
        return found

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def next_frame(self) -> None:
        """Wait two frames: size observers have drawn by then."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )


Bare = Callable[..., BarePage]


def outside(url: str) -> bool:
    return url != ADDRESS and not url.startswith(("blob:", "data:"))


@contextmanager
def one_page(browser: Browser) -> Iterator[tuple[Bare, list[str]]]:
    """A page that shows one widget after another, and a list of its errors and outside requests."""
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"page error: {error}"))
    page.route("**", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    page.on("request", lambda sent: faults.extend([sent.url] if outside(sent.url) else []))

    def bare(
        widget: Widget,
        data: Any,
        width: int = 1000,
        scheme: Any = "light",
        motion: Any = "no-preference",
    ) -> BarePage:
        page.mouse.move(0, 0)
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, reduced_motion=motion)
        made = BarePage(page, widget)
        made.draw(data)
        return made

    yield bare, faults
    context.close()

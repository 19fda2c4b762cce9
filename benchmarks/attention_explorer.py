"""Compares the speed of the attention explorer with that of BertViz, in the same run and browser.

    .venv/bin/pip install ipython==9.10.0 && .venv/bin/pip install --no-deps bertviz==1.4.1
    .venv/bin/python -m benchmarks.attention_explorer

A model with random weights, 6 + 6 layers of 8 heads, d_model 128: 144 maps. For the explorer, the
time runs from Enter in the input field (the output to look at is given) through the model's forward
pass, the transfer and the drawing of all three attentions, to two frames later; for choosing a head
and moving the pointer, from the event to the end of the frame that shows the effect. That frame
shows the weight next to the cell; the sentence below the map follows in a later task. For BertViz,
the time runs from opening the page that its Python code made of the same three attentions. It draws
one attention at a time: the time is read two frames after all its lines are drawn, and again after
all 144 maps were, by choosing the other attentions, and in its head view every layer, in its menus.
Its Python code, its model and the network are excluded (npm must be installed: its three libraries
are fetched once, then served from disk).

Medians in milliseconds, on this machine; leave it idle meanwhile. Next to them the CPU time of
server and browser together, which is the figure to compare on a busy machine. For the explorer it
includes what the page does after the maps are drawn.
"""

import argparse
import contextlib
import hashlib
import importlib
import os
import random
import statistics
import string
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from playwright.sync_api import Browser, Page, Route, expect

from benchmarks.in_page import FIND
from tests.support.server import running_browser, running_server, settle
from transformer.checkpoint import Checkpoint
from transformer.config import TransformerConfig
from transformer.model import Transformer

ROOT = Path(__file__).resolve().parents[1]
LAYERS, HEADS, D_MODEL = 6, 8, 128

# The explorer draws everything at once: when the new tokens are there, so are all maps.
DRAWN = (
    "async ([text, letter]) => {"
    + FIND
    + """
  const explorer = find(document);
  for (;;) {
    const tokens = [...explorer.querySelectorAll(`.large [data-token^=${letter}]`)];
    const shown = tokens.map((token) => token.textContent).join('');
    if (shown.startsWith(text)) break;
    await frame();
  }
  await frame();
  await frame();
  return performance.now();
}"""
)
# From the event's time stamp until the first task after the frame that shows its effect: a message
# posted during a frame arrives after the frame is painted. Waiting for another frame would add up
# to 17 ms, the screen's refresh interval.
AFTER_EVENT = (
    "(type) => {"
    + FIND
    + """
  const explorer = find(document);
  const posted = () => new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    port2.postMessage(null);
  });
  window.waited = new Promise((resolve) => {
    explorer.addEventListener(type, async (event) => {
      await frame();
      await posted();
      resolve(performance.now() - event.timeStamp);
    }, { once: true, capture: true });
  });
}"""
)


def many_headed(folder: Path) -> str:
    """Store a checkpoint with random weights as if uploaded; returns its id in the address."""
    bundled = Checkpoint.load(ROOT / "checkpoints" / "reverse.safetensors")
    letters = bundled.source_vocabulary
    config = TransformerConfig(
        source_vocab_size=len(letters),
        target_vocab_size=len(letters),
        d_model=D_MODEL,
        num_heads=HEADS,
        num_encoder_layers=LAYERS,
        num_decoder_layers=LAYERS,
        d_ff=4 * D_MODEL,
        max_length=128,
    )
    torch.manual_seed(1)
    data, summary = bundled.header.data, bundled.summary
    made = Checkpoint.of(Transformer(config), letters, letters, data, summary, [("ab", "ba")])
    content = made.to_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    uploads = folder / "runs" / "uploads"
    uploads.mkdir(parents=True)
    (uploads / f"{sha256}.safetensors").write_bytes(content)
    return f"upload-{sha256[:16]}"


def spent() -> float:
    """CPU seconds so far of server and browser, that is, of all processes started here."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def letters(count: int) -> str:
    return "".join(random.choices(string.ascii_lowercase, k=count))


def new_inputs(page: Page, tokens: int, repeats: int) -> tuple[list[float], ...]:
    """Seconds until all maps are drawn and until the rest of the page is, and CPU seconds used."""
    drawn, done, processors = [], [], []
    output = page.get_by_role("textbox", name="Output to look at", exact=True)
    if not output.is_visible():  # from an earlier call, it is still open
        page.get_by_role("button", name="Compare", exact=True).click()
    for field, letter in ((output, "w"), (page.get_by_role("textbox", name="Input"), "s")):
        for number in range(repeats + 1 if letter == "s" else 1):
            text = letters(tokens - 1)
            field.fill(text)
            busy = spent()
            before = page.evaluate("performance.now()")
            field.press("Enter")
            after = page.evaluate(DRAWN, [text, letter])
            settle(page)
            if letter == "s" and number:  # for the first, the browser also compiles the scripts
                drawn.append((after - before) / 1000)
                done.append((page.evaluate("performance.now()") - before) / 1000 - 0.08)
                processors.append(spent() - busy)
    return drawn, done, processors


def choosing(page: Page, repeats: int) -> list[float]:
    """Seconds from the click on a head until its large map is drawn."""
    waited = []
    for number in range(repeats):
        button = page.locator(f"button[data-head='encoder.{number % LAYERS}.{number % HEADS}']")
        button.scroll_into_view_if_needed()
        button.hover()
        page.wait_for_timeout(100)
        page.evaluate(AFTER_EVENT, "click")
        button.click()
        waited.append(page.evaluate("window.waited") / 1000)
        settle(page)
    return waited


def hovering(page: Page, repeats: int, sent: list[int]) -> tuple[list[float], int]:
    """Seconds from a pointer move over the map until the cell is highlighted everywhere; and the
    number of messages sent meanwhile."""
    waited = []
    box = page.locator(".stage canvas").first.bounding_box()
    assert box is not None
    page.locator(".stage canvas").first.scroll_into_view_if_needed()
    box = page.locator(".stage canvas").first.bounding_box()
    assert box is not None
    settle(page)
    before = len(sent)
    for number in range(repeats):
        page.evaluate(AFTER_EVENT, "pointermove")
        page.mouse.move(box["x"] + 20 + 17 * number, box["y"] + 20 + 11 * number)
        waited.append(page.evaluate("window.waited") / 1000)
    return waited, len(sent) - before


# --- BertViz --------------------------------------------------------------------------------


def fetch_libraries(folder: Path) -> dict[str, bytes]:
    """Fetch from npm the libraries that BertViz loads from a CDN: part of their address -> code."""
    packages = {
        "require": ("requirejs@2.3.6", "package/require.js"),
        "d3": ("d3@5.7.0", "package/dist/d3.min.js"),
        "jquery": ("jquery@2.1.4", "package/dist/jquery.min.js"),
    }
    found = {}
    for name, (package, member) in packages.items():
        packed = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True
        )
        with tarfile.open(folder / packed.stdout.decode().strip()) as archive:
            file = archive.extractfile(member)
            assert file is not None
            found[name] = file.read()
    return found


# OPENED resolves once all lines are drawn; CHOSEN once another menu entry was chosen and drawn.
OPENED = """async (lines) => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  while (document.getElementsByTagName('line').length < lines) await frame();
  await frame();
  await frame();
}"""
CHOSEN = """async ([name, number, lines]) => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const before = document.getElementsByTagName('line')[0];
  const menu = document.querySelector(`select[id=${name}]`);
  menu.value = number;
  menu.dispatchEvent(new Event('change', {bubbles: true}));
  while (before.isConnected || document.getElementsByTagName('line').length < lines) await frame();
  await frame();
  await frame();
}"""


def bertviz(
    browser: Browser, view: str, tokens: int, repeats: int, libraries: dict[str, bytes]
) -> tuple[list[float], list[float], list[float]]:
    """Seconds from opening BertViz's page until the first attention is drawn, and until all maps
    were; and the CPU seconds used until then."""
    draw: Callable[..., Any] = getattr(importlib.import_module("bertviz"), view)
    texts = {f"{side}_tokens": list(letters(tokens)) for side in ("encoder", "decoder")}
    weights = {
        f"{kind}_attention": list(torch.rand(LAYERS, 1, HEADS, tokens, tokens).softmax(dim=-1))
        for kind in ("encoder", "decoder", "cross")
    }
    made = draw(**weights, **texts, html_action="return")
    # BertViz's head view shows one layer at a time, its model view all layers.
    by_layer = view == "head_view"
    lines = HEADS * tokens**2 * (1 if by_layer else LAYERS)
    layers = [("layer", str(number)) for number in range(LAYERS)] if by_layer else []
    steps = [*layers[1:]]
    for kind in ("1", "2"):
        # The chosen layer stays when the attention changes: alternate upwards and downwards.
        layers.reverse()
        steps += [("filter", kind), *layers[1:]]

    def serve(route: Route) -> None:
        wanted = next(name for name in libraries if f"/{name}" in route.request.url)
        route.fulfill(body=libraries[wanted], content_type="text/javascript")

    first, all_maps, processors = [], [], []
    with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as file:
        file.write(f"<!doctype html><meta charset=utf-8><body>{made.data}")
        file.flush()
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.route("https://cdnjs.cloudflare.com/**", serve)
            page.wait_for_timeout(500)  # until the previous page's processes have ended
            busy = spent()
            started = time.perf_counter()
            page.goto(f"file://{file.name}", wait_until="commit")
            page.evaluate(OPENED, lines)
            first.append(time.perf_counter() - started)
            for menu, number in steps:
                page.evaluate(CHOSEN, [menu, number, lines])
            all_maps.append(time.perf_counter() - started)
            processors.append(spent() - busy)
            page.close()
    return first, all_maps, processors


def report(name: str, seconds: list[float]) -> float:
    milliseconds = sorted(1000 * value for value in seconds)
    median = statistics.median(milliseconds)
    print(
        f"{name}: median {median:,.0f} ms of {len(seconds)} "
        f"({milliseconds[0]:,.0f} to {milliseconds[-1]:,.0f})",
        flush=True,
    )
    return median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--without-bertviz", action="store_true")
    chosen = parser.parse_args()
    random.seed(1)
    ours: dict[int, float] = {}
    work: dict[int, float] = {}
    sent: list[int] = []
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        checkpoint = many_headed(Path(folder))
        with running_server(Path(folder)) as server:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.on(
                "websocket",
                lambda socket: socket.on("framesent", lambda payload: sent.append(len(payload))),
            )
            page.goto(f"{server.url}/attention?checkpoint={checkpoint}&input=abc&output=abc")
            expect(page.locator(".large canvas").first).to_be_visible(timeout=60_000)
            settle(page)
            for tokens in (32, 50, 64, 100):
                drawn, done, processors = new_inputs(page, tokens, chosen.repeats)
                ours[tokens] = report(f"ours, {tokens} tokens, 144 maps drawn", drawn)
                report(f"ours, {tokens} tokens, checks and panel too", done)
                work[tokens] = report(f"ours, {tokens} tokens, processors", processors)
                if tokens in (50, 100):
                    report(
                        f"ours, {tokens} tokens, choosing a head", choosing(page, chosen.repeats)
                    )
                    waited, messages = hovering(page, chosen.repeats, sent)
                    report(f"ours, {tokens} tokens, hover ({messages} messages sent)", waited)
            page.close()
        if not chosen.without_bertviz:
            libraries = fetch_libraries(Path(folder))
            for view in ("model_view", "head_view"):
                for tokens in (32, 64):
                    name = f"BertViz {view}, {tokens} tokens"
                    first, theirs, processors = bertviz(
                        browser, view, tokens, chosen.repeats, libraries
                    )
                    report(f"{name}, first lines", first)
                    median = report(f"{name}, 144 maps drawn", theirs)
                    busy = report(f"{name}, processors", processors)
                    print(
                        f"  ours is {median / ours[tokens]:.1f} times as fast, and works "
                        f"{busy / work[tokens]:.1f} times less"
                    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

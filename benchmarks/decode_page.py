"""Measures how long the Decode page takes to draw a step, a branch or another temperature.

    python -m benchmarks.decode_page

Measured from the time stamp of the key event to the frame after the one that paints the new step:
medians of 10, in headless Chromium, for `reverse` and the largest bundled checkpoint.
Leave the machine idle meanwhile.
"""

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from benchmarks.attention_explorer import report
from tests.support.server import running_browser, running_server, settle

ROOT = Path(__file__).resolve().parents[1]

# Measures from the next event of this type until the selected element contains the text and the
# browser has painted it.
WATCH = """([type, selector, text]) => {
  const find = (root, wanted) => {
    for (const element of root.querySelectorAll('*')) {
      if (element.matches(wanted)) return element;
      const inside = element.shadowRoot && find(element.shadowRoot, wanted);
      if (inside) return inside;
    }
    return null;
  };
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  window.waited = new Promise((resolve) => {
    document.addEventListener(type, async (event) => {
      for (;;) {
        if (find(document, selector)?.textContent.includes(text)) break;
        await frame();
      }
      await frame();
      resolve(performance.now() - event.timeStamp);
    }, { once: true, capture: true });
  });
}"""


def waited(page: Page, event: str, selector: str, text: str, key: str) -> float:
    """Seconds from pressing a key until an element contains ``text``."""
    page.evaluate(WATCH, [event, selector, text])
    page.keyboard.press(key)
    seconds: float = page.evaluate("window.waited") / 1000
    settle(page)
    return seconds


def measure(page: Page, url: str, name: str, repeats: int) -> None:
    page.goto(f"{url}/decode?checkpoint={name}&step=1")
    expect(page.locator(".where")).to_be_visible(timeout=60_000)
    settle(page)
    page.locator(".output button").first.focus()
    steps = []
    for number in range(repeats):
        forward = number % 2 == 0
        text = f"Step {2 if forward else 1} of"
        steps.append(
            waited(page, "keydown", ".where", text, "ArrowRight" if forward else "ArrowLeft")
        )
    report(f"{name}: step", steps)
    page.get_by_label("Temperature", exact=True).focus()
    heat = [
        waited(page, "keydown", ".readout", f"÷ {1 + number / 10:g} =", "ArrowRight")
        for number in range(1, repeats + 1)
    ]
    report(f"{name}: temperature", heat)
    for what, when in (
        ("branch, the step itself", ""),
        ("branch, and all that follows", ":not(.pending) "),
    ):
        report(f"{name}: {what}", branching(page, f".decoding_steps{when or ' '}.where", repeats))


def branching(page: Page, where: str, repeats: int) -> list[float]:
    """Seconds from choosing another candidate until it is in the output."""
    branches = []
    for number in range(1, repeats + 1):
        rival = page.locator(".candidates button").nth(number % 8)
        if rival.get_attribute("aria-pressed") == "true":
            rival = page.locator(".candidates button").nth((number + 1) % 8)
        token = rival.get_attribute("data-token")
        rival.focus()
        branches.append(waited(page, "keydown", where, f"given “{token}”", "Enter"))
        expect(page.locator(".decoding_steps.pending")).to_have_count(0)
        settle(page)
    return branches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    chosen = parser.parse_args()
    bundled = sorted((ROOT / "checkpoints").glob("*.safetensors"), key=lambda p: p.stat().st_size)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        running_browser() as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        for name in dict.fromkeys(("reverse", bundled[-1].stem)):
            measure(page, server.url, name, chosen.repeats)


if __name__ == "__main__":
    main()

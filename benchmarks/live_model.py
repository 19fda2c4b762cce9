"""How long a word takes in the file that runs by itself: .venv/bin/python -m benchmarks.live_model

Every bundled model, in headless Chromium with the network off: the file's size, and the median
milliseconds in which it answers a held-out input with all of its attention.
"""

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from pages.components.widgets.live_model import live_page
from tests.support.server import CHROMIUM_FLAGS, find_browser
from transformer import Checkpoint
from transformer.evaluation.held_out import examples_of

INPUTS = 20
REPEATS = 5
TIMES = """([texts, repeats]) => texts.flatMap((text) => Array.from({ length: repeats }, () => {
  const started = performance.now();
  liveModel.answer(text);
  return performance.now() - started;
}))"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM_FLAGS)
        page = browser.new_context(offline=True).new_page()
        print("| model | file, MB | an input, ms: median (most) |\n|---|---|---|")
        for path in sorted(Path("checkpoints").glob("*.safetensors")):
            checkpoint = Checkpoint.load(path)
            texts = [pair.source for pair in examples_of(checkpoint, None, INPUTS).pairs]
            content = live_page(checkpoint, path.stem, texts[:1])
            file = Path(folder) / f"{path.stem}.html"
            file.write_bytes(content)
            page.goto(file.as_uri())
            page.evaluate(TIMES, [texts, 1])  # until the browser has compiled what it runs
            taken = page.evaluate(TIMES, [texts, REPEATS])
            size, median = len(content) / 1e6, statistics.median(taken)
            print(f"| {path.stem} | {size:.1f} | {median:.1f} ({max(taken):.0f}) |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()

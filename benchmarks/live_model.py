"""The stand-alone HTML file against PyTorch: .venv/bin/python -m benchmarks.live_model [NAME ...]

Opens every bundled model, or those named, from disk in headless Chromium without a network, on
held-out inputs. Prints the file's size, how many outputs equal PyTorch's token by token, the
largest difference of a logit and of an attention weight, and the milliseconds for an output with
all its attention: for each input the fastest of a few runs, to exclude other load.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import Page

from pages.components.shared.inspection import inspect
from pages.components.widgets.live_model import live_page
from tests.support.server import running_browser
from transformer import Checkpoint
from transformer.evaluation.held_out import examples_of

INPUTS = 10
REPEATS = 5
TIMES = """([texts, repeats]) => texts.flatMap((text) => Array.from({ length: repeats }, () => {
  const started = performance.now();
  liveModel.answer(text);
  return performance.now() - started;
}))"""
ANSWER = """(text) => {
  const found = liveModel.answer(text);
  const weights = Object.fromEntries(
    Object.entries(found.weights).map(([kind, one]) => [kind, [...one.weights]]));
  return {written: found.written, logits: found.logits.map((row) => [...row]), weights};
}"""


def differences(page: Page, checkpoint: Checkpoint, text: str) -> tuple[bool, float, float]:
    """Whether the tokens are equal, and the largest difference of logits and of weights."""
    theirs, ours = page.evaluate(ANSWER, text), inspect(checkpoint, text)
    if theirs["written"] != ours.written:
        return False, np.nan, np.nan
    with torch.inference_mode():
        read = torch.tensor([ours.source]), torch.tensor([ours.read])
        logits = checkpoint.model(*read)[0].numpy()
    weights = [
        np.abs(np.reshape(theirs["weights"][kind.id], kind.weights.shape) - kind.weights).max()
        for kind in ours.kinds
    ]
    return True, float(np.abs(np.array(theirs["logits"]) - logits).max()), float(max(weights))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        page = browser.new_context(offline=True).new_page()
        print(f"Chromium {browser.version}, {INPUTS} inputs each\n")
        print(
            "| Model | File, MB | Same tokens | Logits differ by | Weights differ by "
            "| An input, ms: median (most) |\n|---|---|---|---|---|---|"
        )
        for path in sorted(Path("checkpoints").glob("*.safetensors")):
            if sys.argv[1:] and path.stem not in sys.argv[1:]:
                continue
            checkpoint = Checkpoint.load(path)
            texts = [pair.source for pair in examples_of(checkpoint, None, INPUTS).pairs]
            content = live_page(checkpoint, path.stem, texts[:1])
            file = Path(folder) / f"{path.stem}.html"
            file.write_bytes(content)
            page.goto(file.as_uri())
            page.evaluate(TIMES, [texts, 1])  # warm-up: the browser compiles the code
            taken = page.evaluate(TIMES, [texts, REPEATS])
            fastest = [min(taken[at : at + REPEATS]) for at in range(0, len(taken), REPEATS)]
            found = [differences(page, checkpoint, text) for text in texts]
            same = sum(one for one, _, _ in found)
            logits, weights = (np.nanmax([one[at] for one in found]) for at in (1, 2))
            print(
                f"| {path.stem} | {len(content) / 1e6:.1f} | {same} of {len(found)} "
                f"| {logits:.0e} | {weights:.0e} "
                f"| {statistics.median(fastest):.1f} ({max(fastest):.0f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()

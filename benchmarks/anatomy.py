"""Measures how long the anatomy on the Learn page takes to show a box or another step.

    .venv/bin/python -m benchmarks.anatomy

A model of the paper's base size with random weights (d_model 512, 6 + 6 layers of 8 heads), in
headless Chromium. A box: from the click on the map until its title and its picture are there and
the browser has painted. A step: from the click on another token, which runs the model once. On a
busy machine the processor's time says more: what server and page need, one after the other.
"""

import argparse
import random
import statistics
import string
import tempfile
from pathlib import Path

import psutil
import torch
from playwright.sync_api import CDPSession, Page, expect

from tests.support.server import Server, running_browser, running_server, settle
from transformer.anatomy.boxes import boxes
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig, TransformerConfig
from transformer.decoding.strategies import greedy
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

TEXT = "workbench"
ANSWER = 10
"""Approximate number of output tokens; a random model would end at an unpredictable length."""
CLICK = """async ([what, title]) => {
  const find = (root, selector) => {
    const roots = [...root.querySelectorAll('*')].flatMap((one) => one.shadowRoot ?? []);
    return [root.querySelector(selector), ...roots.map((one) => find(one, selector))].find(Boolean);
  };
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  let picture = find(document, '.value_picture');
  const drawn = () => {
    if (!picture?.isConnected) picture = find(document, '.value_picture');
    return picture?.querySelector('.pictures');
  };
  const shown = (wanted) =>
    [...document.querySelectorAll('h4')].some((one) => one.innerText.trim() === wanted);
  const before = drawn(), clicked = find(document, what), started = performance.now();
  clicked.dispatchEvent(new MouseEvent('click', { bubbles: true }));
  while (!drawn() || drawn() === before || !shown(title)) await frame();
  await frame();
  await frame();
  return performance.now() - started;
}"""


def make(file: Path) -> TransformerConfig:
    """Write the model to ``file``; returns its config."""
    letters = Vocabulary("characters", list(string.ascii_lowercase))
    torch.manual_seed(0)
    config = TransformerConfig(
        source_vocab_size=len(letters), target_vocab_size=len(letters), output_bias=True
    )
    model = Transformer(config).eval()
    with torch.inference_mode():
        source = torch.tensor([letters.encode(TEXT)])
        rows = [step.log_probs[0, 0] for step in greedy(model, source, max_length=ANSWER)]
    short = min(float(row.max() - row[config.eos_id]) for row in rows)
    with torch.no_grad():
        model.output.bias[config.eos_id] += short + 1e-3
    Checkpoint.of(model, letters, letters, DataConfig(task="imported"), None, []).save(file)
    return config


def open_learn(page: Page, server: Server, file: Path) -> None:
    page.goto(f"{server.url}/checkpoints")
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("is here and chosen")).to_be_visible(timeout=120_000)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Learn", exact=True).click()
    field = page.get_by_label("Input", exact=True)
    field.fill(TEXT)
    field.press("Enter")
    page.locator(".anatomy_map .box").first.wait_for()
    page.locator(".value_picture > .pictures").first.wait_for()
    settle(page)


def measure(page: Page, config: TransformerConfig, count: int, server: psutil.Process) -> None:
    every = boxes(config)
    shown = [box for box in every if box.layer in (None, 0)]
    asked = random.Random(0).sample([box for box in shown if box.place != every[0].place], count)
    waited, spent, drawn = [], [], []
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    for box in asked:
        page.wait_for_timeout(800)
        if page.get_by_role("heading", level=4).inner_text() == box.about.title:
            continue
        before, painted = processor(server), main_thread(session)
        waited.append(page.evaluate(CLICK, [f".box[data-place='{box.place}']", box.about.title]))
        settle(page)
        spent.append(processor(server) - before)
        drawn.append(main_thread(session) - painted)
        print(
            f"  {box.id}: {waited[-1]:.0f} ms, server {spent[-1]:.0f} ms, page {drawn[-1]:.0f} ms",
            flush=True,
        )
    print_result("a box", waited)
    print_result("the server's processor for it", spent)
    print_result("the page's scripts, styles and layout for it", drawn)
    title, steps = page.get_by_role("heading", level=4).inner_text(), []
    tokens = page.locator(".anatomy_map .steps button").count()
    for step in range(1, min(tokens, count)):
        page.wait_for_timeout(800)
        steps.append(page.evaluate(CLICK, [f".steps button:nth-of-type({step + 1})", title]))
    print_result("another step", steps)


def processor(process: psutil.Process) -> float:
    """The process's CPU milliseconds so far."""
    times = process.cpu_times()
    return 1000 * float(times.user + times.system)


def main_thread(session: CDPSession) -> float:
    """Milliseconds that the page's main thread has spent on scripts, styles and layout."""
    found = session.send("Performance.getMetrics")["metrics"]
    names = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
    return 1000 * sum(one["value"] for one in found if one["name"] in names)


def print_result(what: str, waited: list[float]) -> None:
    print(
        f"{what}: median {statistics.median(waited):.0f} ms "
        f"({min(waited):.0f} to {max(waited):.0f}, {len(waited)} clicks)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "base.safetensors")
        config = make(file)
        print(f"{file.stat().st_size / 1e6:.0f} MB, {config.num_parameters:,} parameters")
        folder = Path(scratch, "app")
        folder.mkdir()
        with running_server(folder) as server, running_browser() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            open_learn(page, server, file)
            measure(page, config, options.boxes, psutil.Process(server.process.pid))


if __name__ == "__main__":
    main()

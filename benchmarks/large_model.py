"""Measures how long it takes to upload a MarianMT model of the paper's base size, and to use it:

    .venv/bin/python -m benchmarks.large_model

A model with random weights, d_model 512, 6 + 6 layers of 8 heads, one vocabulary of 58,000
pieces: about 75 million parameters, 300 MB. The clock of the first figure runs from handing the
file to the upload field until Attention has drawn all 144 maps of a first sentence; that of
the second until Decode shows its first step; that of the others from Enter in the input field to
the 144 maps of another sentence of ten words, drawn. The output to look at is given: where a
random model's own answers end, nobody knows.

On this machine as it is; leave it idle meanwhile. Memory is what the server's process holds.
"""

import argparse
import math
import random
import statistics
import string
import tempfile
import time
import zipfile
from pathlib import Path

import psutil
import torch
from playwright.sync_api import Page, expect

from benchmarks.in_page import FIND
from tests.support.server import running_browser, running_server
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import Header
from transformer.config import DataConfig, TransformerConfig
from transformer.decoding.strategies import greedy
from transformer.interop.marian.export import export_marian
from transformer.model import Transformer
from transformer.vocabulary import SpecialIds, Vocabulary
from transformer.vocabulary.pieces import MARK, PieceModel
from transformer.vocabulary.vocabulary import SENTENCEPIECE

TOKENS, PIECES = 58_000, 32_000
WORDS = 10
MAPS = 144


def vocabularies() -> tuple[Vocabulary, Vocabulary, list[str]]:
    """A source and a target vocabulary of made-up pieces, and words of the source side."""
    chance = random.Random(1)
    letters = string.ascii_lowercase + "äöüß"
    pieces = dict.fromkeys([*letters, MARK, *(MARK + letter for letter in letters)])
    while len(pieces) < TOKENS - 3:
        word = "".join(chance.choices(letters, k=chance.randint(2, 11)))
        pieces[(MARK if chance.random() < 0.6 else "") + word] = None
    names = list(pieces)
    tokens = ["</s>", "<unk>", *names, "<pad>"]
    special = SpecialIds(pad=TOKENS - 1, bos=TOKENS - 1, eos=0, unk=1)
    sides = []
    for start in (0, TOKENS - 3 - PIECES):
        scores = {
            piece: round(-math.log(rank + 2) - 3, 5)
            for rank, piece in enumerate([*names[:100], *names[max(start, 100) :][: PIECES - 100]])
        }
        model = PieceModel("unigram", scores)
        sides.append(Vocabulary(SENTENCEPIECE, tokens, special=special, pieces=model))
    words = [name[1:] for name in names[100:5000] if name[0] == MARK and len(name) > 4]
    return sides[0], sides[1], words


def make(folder: Path) -> list[str]:
    """Write the model as a MarianMT folder; returns words of its source vocabulary."""
    source, target, words = vocabularies()
    torch.manual_seed(0)
    config = TransformerConfig(
        source_vocab_size=TOKENS,
        target_vocab_size=TOKENS,
        share_embeddings=True,
        activation="swish",
        output_bias=True,
        position_layout="halves",
        pad_in_output="cut",
        length_penalty="length",
        forces_end=True,
        decoder_start_id=TOKENS - 1,
        **{f"{name}_id": number for name, number in source.special._asdict().items()},
    )
    model = Transformer(config).eval()
    end_somewhere(model, source, words)
    header = Header(config, source, target, DataConfig(task="imported"), None, [], None)
    export_marian(Checkpoint(header, dict(model.named_parameters())), folder)
    return words


@torch.inference_mode()
def end_somewhere(model: Transformer, vocabulary: Vocabulary, words: list[str]) -> None:
    """Raise the bias of </s> just enough for outputs to end after some tokens, as if trained."""
    source = torch.tensor([[*vocabulary.encode(" ".join(words[:WORDS])), 0]])
    gaps = []
    for step in greedy(model, source, max_length=20):
        row = step.log_probs[0, 0]
        gaps.append(float(row.max() - row[0]))
    model.output.bias[0] += gaps[max(n for n, gap in enumerate(gaps) if gap == min(gaps))] + 1e-3


def zipped(folder: Path, target: Path) -> Path:
    """Zip the folder without compression, which hardly shrinks weights."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{folder.name}/{file.name}")
    return target


# All maps are drawn at once, together with the tokens next to them.
DRAWN = (
    """async (text) => {
"""
    + FIND
    + """
  for (;;) {
    const explorer = find(document);
    const tokens = explorer ? [...explorer.querySelectorAll('.tokens button[data-token^=s]')] : [];
    const shown = tokens.map((token) => token.textContent).join('');
    if (tokens.length && (!text || shown.startsWith(text))) break;
    await frame();
  }
  await frame();
  await frame();
  const heads = [...find(document).querySelectorAll('button[data-head]')];
  return new Set(heads.map((head) => head.dataset.head)).size;
}"""
)


def resident(process: psutil.Process) -> float:
    """The server's resident memory in megabytes."""
    return float(process.memory_info().rss) / 1e6


def peak(pid: int) -> float:
    """The server's peak resident memory in megabytes, as Linux counts it."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return next(int(line.split()[1]) / 1e3 for line in status.splitlines() if "VmHWM" in line)


def processor(process: psutil.Process) -> float:
    """The server's CPU seconds so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(page: Page, url: str, file: Path, words: list[str], repeats: int, pid: int) -> None:
    server = psutil.Process(pid)
    page.goto(f"{url}/checkpoints")
    expect(page.get_by_role("heading", name="Checkpoints", level=1)).to_be_visible()
    page.wait_for_timeout(8000)  # PyTorch is imported in the background
    print(f"server before: {resident(server):,.0f} MB")
    start, busy = time.perf_counter(), processor(server)
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("is here and chosen")).to_be_visible(timeout=120_000)
    print_result(
        f"uploaded, imported and kept ({file.stat().st_size / 1e6:,.0f} MB)", start, busy, server
    )
    text = " ".join(words[:WORDS])
    page.get_by_role("link", name="Look at its attention").click()
    # The page first shows its own example, with the model's own output for it.
    assert page.evaluate(DRAWN, "") >= MAPS
    print_result(f"and {MAPS} maps of a first sentence", start, busy, server)
    page.get_by_role("link", name="Decode", exact=True).first.click()
    expect(page.get_by_role("heading", name="Decode", level=1)).to_be_visible(timeout=60_000)
    page.locator(".decoding_steps").first.wait_for(timeout=60_000)
    print_result("and the first steps of decoding", start, busy, server)
    print(f"server after: {resident(server):,.0f} MB; at most {peak(pid):,.0f} MB in between")
    page.get_by_role("link", name="Attention", exact=True).first.click()
    page.evaluate(DRAWN, "")
    page.wait_for_timeout(4000)
    page.get_by_role("button", name="Compare", exact=True).click()
    field = page.get_by_role("textbox", name="Output to look at", exact=True)
    field.fill(text)
    field.press("Enter")
    page.wait_for_timeout(4000)
    spans, spent = [], []
    for number in range(repeats):
        chance = random.Random(number)
        sentence = chance.sample(words, WORDS)
        field = page.get_by_role("textbox", name="Input", exact=True)
        field.fill(" ".join(sentence))
        page.wait_for_timeout(500)
        busy, start = processor(server), time.perf_counter()
        field.press("Enter")
        page.evaluate(DRAWN, f"{MARK}{sentence[0]}")
        spans.append(time.perf_counter() - start)
        spent.append(processor(server) - busy)
        page.wait_for_timeout(2500)
    print(
        f"{MAPS} maps of a new sentence: {statistics.median(spans):.2f} s, of the server's "
        f"processor {statistics.median(spent):.2f} s (median of {repeats}; longest "
        f"{max(spans):.2f} s)"
    )
    print(f"server at the end: {resident(server):,.0f} MB")


def print_result(what: str, start: float, busy: float, server: psutil.Process) -> None:
    print(
        f"{what}: {time.perf_counter() - start:.1f} s, of the server's processor "
        f"{processor(server) - busy:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--zip", type=Path, help="made by an earlier run, to save the making")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = options.zip or Path(scratch, "base.zip")
        if file.exists():
            words = vocabularies()[2]
        else:
            words = make(Path(scratch, "base"))
            zipped(Path(scratch, "base"), file)
        folder = Path(scratch, "app")
        folder.mkdir()
        with running_server(folder) as server, running_browser() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            measure(page, server.url, file, words, options.repeats, server.process.pid)


if __name__ == "__main__":
    main()

"""A model in one offline HTML file gives the same outputs and attention as in PyTorch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from pages.components.shared.inspection import inspect
from pages.components.widgets.live_model import live_page
from tests.support.access import assert_accessible
from tests.support.random_models import small_config
from transformer import Checkpoint
from transformer.analysis.ablation import effect, zeros
from transformer.analysis.heads import Head
from transformer.config import DataConfig
from transformer.errors import UserError
from transformer.evaluation.held_out import examples_of
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

BUNDLED = {path.stem: path for path in sorted(Path("checkpoints").glob("*.safetensors"))}
SAMPLE = ("dates", "pronunciation", "scan-length")
"""Models tested by default: letters to letters, letters to sounds, words with long answers."""
ANSWER = """([text, off]) => {
  const found = liveModel.answer(text, new Set(off));
  const weights = Object.fromEntries(
    Object.entries(found.weights).map(([kind, one]) => [kind, [one.shape, [...one.weights]]]));
  return {...found, logits: found.logits.map((row) => [...row]), weights};
}"""


def reverse() -> Checkpoint:
    return Checkpoint.load(BUNDLED["reverse"])


def _made(model: Transformer, words: Vocabulary) -> Checkpoint:
    return Checkpoint.of(model, words, words, DataConfig(task="imported"), None, [])


def opened(page: Page, checkpoint: Checkpoint, folder: Path, examples: list[str]) -> Page:
    """The page, after it has opened the model's HTML file from disk."""
    path = folder / "live.html"
    path.write_bytes(live_page(checkpoint, "A <model> & more", examples))
    page.goto(path.as_uri())
    return page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab that cannot reach any network; an error in it fails the test."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert not faults


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * (name not in SAMPLE)) for name in BUNDLED],
)
def test_a_bundled_model_writes_the_same_with_the_same_attention(
    name: str, page: Page, tmp_path: Path
) -> None:
    checkpoint = Checkpoint.load(BUNDLED[name])
    texts = [pair.source for pair in examples_of(checkpoint, None, 3).pairs]
    opened(page, checkpoint, tmp_path, texts)
    expect(page.locator("#output")).not_to_be_empty()
    for text in texts:
        theirs = page.evaluate(ANSWER, [text, []])
        ours = inspect(checkpoint, text)
        assert theirs["output"] == ours.output
        assert (theirs["read"], theirs["written"]) == (ours.read, ours.written)
        for kind in ours.kinds:
            assert _difference(theirs["weights"][kind.id], kind.weights) < 1e-5
        with torch.inference_mode():
            source, read = torch.tensor([ours.source]), torch.tensor([ours.read])
            logits = checkpoint.model(source, read)[0].numpy()
        assert np.abs(np.array(theirs["logits"]) - logits).max() < 1e-4


def _difference(theirs: Any, ours: Any) -> float:
    shape, numbers = theirs
    assert tuple(shape) == ours.shape
    return float(np.abs(np.array(numbers).reshape(shape) - ours).max())


def test_a_head_switched_off_changes_what_is_written_as_it_does_here(
    page: Page, tmp_path: Path
) -> None:
    checkpoint = reverse()
    opened(page, checkpoint, tmp_path, ["knight"])
    expect(page.locator("#output")).to_have_text("thgink")
    for number in (1, 2):
        page.get_by_role("button", name=f"Cross-attention, layer 1, head {number}").click()
        page.get_by_role("button", name="Switch this head off").click()
    heads = zeros([Head("cross", 0, 0), Head("cross", 0, 1)])
    off = effect(checkpoint.model, checkpoint.encode("knight"), heads)
    assert off.after != off.before
    expect(page.locator("#output")).to_contain_text(checkpoint.target_vocabulary.decode(off.after))
    expect(page.locator("#without")).to_have_text("With all heads: thgink")
    page.get_by_role("button", name="All heads on").click()
    expect(page.locator("#output")).to_have_text("thgink")


def test_what_cannot_be_read_is_said_and_nothing_is_lost(page: Page, tmp_path: Path) -> None:
    opened(page, reverse(), tmp_path, ["knight"])
    page.get_by_label("Input").fill("Knight!<b>")
    expect(page.get_by_role("alert")).to_contain_text("does not know K ! < >")
    expect(page.get_by_label("Input")).to_have_value("Knight!<b>")
    page.get_by_label("Input").fill("   ")
    expect(page.get_by_role("alert")).to_have_text("Type something for the model to read.")
    page.get_by_label("Input").fill("a" * 2000)
    expect(page.get_by_role("alert")).to_contain_text("reads at most")
    page.get_by_label("Input").fill("ab")
    expect(page.locator("#output")).to_have_text("ba")
    expect(page.get_by_role("alert")).to_be_empty()


def test_by_keyboard_a_token_shows_its_candidates(page: Page, tmp_path: Path) -> None:
    opened(page, reverse(), tmp_path, ["knight"])
    tokens = page.get_by_role("group", name="Tokens of the answer").get_by_role("button")
    expect(tokens).to_have_count(7)
    tokens.nth(2).focus()
    page.keyboard.press("Enter")
    expect(tokens.nth(2)).to_be_focused()
    expect(page.get_by_role("row").filter(has_text="g").first).to_have_class("taken")
    assert page.title() == "A <model> & more"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.reload()
        expect(tokens).to_have_count(7)
        assert_accessible(page, scheme)


def test_every_setting_of_a_model_is_followed(page: Page, tmp_path: Path) -> None:
    """Covers post-norm, learned positions, untied and shared embeddings, swish, biases, frames."""
    vocabulary = Vocabulary("words", ["one", "two", "three"])
    for changes in (
        {"norm_first": False, "position_layout": "learned", "tie_embeddings": False},
        {"position_layout": "none", "activation": "swish"},
        {"share_embeddings": True, "scale_embeddings": False, "activation": "swish"},
        {"position_layout": "halves", "output_bias": True, "source_frame": "bos-eos"},
        {"final_norm": True, "norm_first": True, "source_frame": "none", "layer_norm_eps": 1e-3},
    ):
        config = small_config(vocabulary, **changes)
        torch.manual_seed(1)
        model = Transformer(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        checkpoint = _made(model, vocabulary)
        opened(page, checkpoint, tmp_path, ["one two"])
        theirs = page.evaluate(ANSWER, ["one two three", []])
        ours = inspect(checkpoint, "one two three")
        assert theirs["written"] == ours.written
        for kind in ours.kinds:
            assert _difference(theirs["weights"][kind.id], kind.weights) < 1e-5


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"activation": "gelu"}, "cannot run yet"), ({"d_ff": 32_000, "d_model": 64}, "at most")],
)
def test_a_model_that_a_page_cannot_run_is_refused(changes: dict[str, Any], said: str) -> None:
    vocabulary = Vocabulary("words", ["one", "two", "three"])
    checkpoint = _made(Transformer(small_config(vocabulary, **changes)), vocabulary)
    with pytest.raises(UserError, match=said):
        live_page(checkpoint, "x")

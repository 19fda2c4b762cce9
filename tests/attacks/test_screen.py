"""20 misleading tokens, each in six places on screen, are all shown as what they are."""

import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.components.attention.export import as_npz, attention_page, weights_as_csv
from pages.components.attention.inspected_input import InspectedInput
from pages.components.shared.inspection import inspect
from pages.components.stores import uploads
from tests.attacks.strings import HIDDEN, MARKS, WORDS
from tests.support.opened_pages import open_page
from tests.support.random_models import small_config
from transformer.checkpoint import Checkpoint
from transformer.config import DataConfig
from transformer.errors import VocabularyError
from transformer.figures.attention import attention_map
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary
from transformer.vocabulary.vocabulary import printable

KINDS = {"characters": MARKS, "words": WORDS}


pytestmark = pytest.mark.usefixtures("own_folder")


def hostile(kind: str) -> Checkpoint:
    """A model whose vocabulary and texts consist of the misleading tokens of this kind."""
    tokens = list(KINDS[kind].values())
    vocabulary = Vocabulary(kind, tokens)
    torch.manual_seed(0)
    config = small_config(vocabulary)
    text = ("" if kind == "characters" else " ").join(tokens)
    model, data = Transformer(config).eval(), DataConfig(task="imported")
    told = f"From {text}"
    checkpoint = Checkpoint.of(
        model, vocabulary, vocabulary, data, None, [(text, text)], told, origin=told, licence=told
    )
    return Checkpoint.load(checkpoint.to_bytes())


def opened(name: str, kind: str, **query: str) -> AppTest:
    file_name = f"{''.join(KINDS[kind].values())}.safetensors"[-100:]
    kept, _ = uploads.keep(file_name, hostile(kind), "me")
    app = open_page(name, **query, checkpoint=kept.id)
    assert not app.exception
    # A wrong output is reported in an error box too, and is no fault here.
    assert [one.value for one in app.error if not one.value.startswith("**Wrong from")] == []
    return app


def sent(
    app: AppTest, skip: tuple[str, ...] = ("text_input", "text_area")
) -> list[tuple[str, str]]:
    """Every text that the page sends to the browser, with the kind of element it is in.

    Except the texts in input fields, which are the user's own.
    """
    found: list[tuple[str, str]] = []

    def strings(kind: str, message: Any) -> None:
        for field, value in message.ListFields():
            values = value if isinstance(value, list) or hasattr(value, "append") else [value]
            if field.type == field.TYPE_STRING and not hasattr(value, "items"):
                found.extend((kind, str(text)) for text in values)
            elif field.type == field.TYPE_MESSAGE and not hasattr(value, "items"):
                for inner in values:
                    strings(kind, inner)

    def walk(node: Any) -> None:
        if (
            node.type not in ("text_input", "text_area")
            and getattr(node, "proto", None) is not None
        ):
            strings(node.type, node.proto)
        for child in getattr(node, "children", {}).values():
            walk(child)

    walk(app._tree)
    assert len(found) > 20
    return found


def tables(app: AppTest) -> list[str]:
    frames = [*(element.value for element in app.dataframe), *(one.value for one in app.table)]
    return [str(cell) for frame in frames for cell in frame.to_numpy().ravel()]


def assert_shown_as_plain_text(texts: list[tuple[str, str]]) -> None:
    """Check that no text has invisible characters or anything that a browser takes for markup."""
    for kind, text in texts:
        assert not HIDDEN.intersection(text), (kind, text)
        if kind in ("html", "arrow_table"):
            continue
        outside = re.sub(r"(`+).*?\1", "", text, flags=re.DOTALL)
        if kind in ("markdown", "alert", "caption", "heading", "success", "info", "header"):
            for word in WORDS.values():
                # A formula acts in a spreadsheet only, and a thousand letters are merely long.
                harmless = word == "=1+1" or word.isalpha()
                assert word not in outside or harmless, (kind, text)


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_shows_what_is_there(kind: str) -> None:
    app = opened("checkpoints", kind)
    assert_shown_as_plain_text(sent(app))
    assert_shown_as_plain_text([("cell", text) for text in tables(app)])
    said = " ".join(block.value for block in (*app.markdown, *app.caption, *app.success))
    for mark in MARKS.values() if kind == "characters" else "\u202e":
        if not mark.isspace():
            assert f"U+{ord(mark):04X}" in said


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_examples_shows_what_is_there(kind: str) -> None:
    cells = tables(opened("checkpoints", kind))
    for mark in MARKS.values() if kind == "characters" else "\u202e":
        assert any(f"U+{ord(mark):04X}" in cell for cell in cells)
    if kind == "words":  # a canvas draws them, so they are text as they are
        assert any("<script>alert(1)</script>" in cell for cell in cells)


@pytest.mark.parametrize("kind", KINDS)
def test_the_labels_of_attention_show_what_is_there(kind: str) -> None:
    checkpoint = hostile(kind)
    shown = inspect(checkpoint, checkpoint.header.examples[0].source)
    labels = [token for one in shown.kinds for token in (*one.query_tokens, *one.key_tokens)]
    assert {printable(token) for token in KINDS[kind].values()} <= set(labels)
    assert all(label.isprintable() and 0 < len(label) <= 40 for label in labels)
    assert_shown_as_plain_text(sent(opened("attention", kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_of_decode_show_what_is_there(kind: str) -> None:
    forced = ".".join(str(number) for number in range(4, 14))
    for part in ("", "strategies", "why", "what_if", "forcing"):
        assert_shown_as_plain_text(sent(opened("decode", kind, prefix=forced, part=part)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_of_choices_shows_what_is_there(kind: str) -> None:
    app = opened("decode", kind, part="what_if")
    options = [option for box in app.selectbox for option in box.options]
    assert options
    assert all(option.isprintable() for option in options)
    assert any("uploaded" in option for option in options)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_and_exports_show_what_is_there(kind: str) -> None:
    tokens = list(KINDS[kind].values())
    figure = attention_map(np.eye(len(tokens)), tokens, tokens, title="".join(tokens))
    labels = [*figure.layout.xaxis.ticktext, figure.layout.title.text]
    assert not any(HIDDEN.intersection(label) or "<" in label for label in labels)
    checkpoint = hostile(kind)
    text = checkpoint.header.examples[0].source
    shown = InspectedInput("this model", checkpoint, text, inspect(checkpoint, text))
    head = next(head for head in shown.scores if head.kind == "cross")
    page = attention_page([shown], "cross").decode()
    assert not (HIDDEN - {"\t"}).intersection(page)
    assert "<script>alert(1)" not in page
    frame = pd.read_csv(io.BytesIO(weights_as_csv(shown, head)), keep_default_na=False, dtype=str)
    cells = [*frame["query"], *frame["key"]]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert not any(HIDDEN.intersection(cell) for cell in cells)
    saved = np.load(io.BytesIO(as_npz(shown)))
    assert all(token.isprintable() for token in saved["source"])


def test_half_a_character_is_refused() -> None:
    for kind in KINDS:
        with pytest.raises(VocabularyError, match="surrogate"):
            Vocabulary(kind, ["\ud800"])

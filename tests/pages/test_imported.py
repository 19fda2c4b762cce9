"""An imported model on the pages: a large vocabulary, and no known right answers."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.components.decoding.token_choice import MOST
from pages.components.shared.inspection import LONGEST_OUTPUT
from pages.components.stores import uploads
from tests.support.checkpoint_files import make
from tests.support.places import ROOT
from tests.support.random_models import small_config
from transformer.analysis.what_if import most_alike
from transformer.checkpoint import Answer, Checkpoint
from transformer.checkpoint.placement import in_8_bits
from transformer.checkpoint.verification import verify
from transformer.config import DataConfig
from transformer.decoding.engines.int8 import FASTER_FROM
from transformer.decoding.strategies import Greedy
from transformer.model import Transformer
from transformer.report.evidence import as_html, report
from transformer.vocabulary import Vocabulary

WORDS = 5000
TEXT = "w17 w4 w99"


pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def imported() -> Checkpoint:
    vocabulary = Vocabulary("words", [f"w{number}" for number in range(WORDS)])
    torch.manual_seed(1)
    config = small_config(vocabulary, max_length=12)
    model, data = Transformer(config).eval(), DataConfig(task="imported")
    return Checkpoint.of(
        model, vocabulary, vocabulary, data, None, [(TEXT, "")], origin="From elsewhere."
    )


def opened(checkpoint: Checkpoint, name: str, **query: str) -> AppTest:
    kept, _ = uploads.keep("elsewhere.safetensors", checkpoint, "me")
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    for key, value in (query | {"checkpoint": kept.id}).items():
        app.query_params[key] = value
    app.switch_page(f"pages/{name}.py").run()
    assert not app.exception
    return app


def box(app: AppTest, label: str) -> Any:
    return next(widget for widget in app.selectbox if widget.label == label)


def said(app: AppTest) -> str:
    return " ".join(block.value for block in (*app.markdown, *app.caption, *app.error))


# --- no answer is known ---------------------------------------------------------------------------


def test_the_examples_claim_no_target(imported: Checkpoint) -> None:
    table = opened(imported, "checkpoints", card="examples").dataframe[0].value
    assert list(table.columns) == ["Input", "Output"]
    assert table["Input"].tolist() == [TEXT]
    path = Path("elsewhere.safetensors")
    imported.save(path)
    page = as_html(report(path, verify(path))).decode()
    assert "<th>Output now</th>" in page
    assert "<th>Target</th>" not in page


def test_its_own_example_is_not_called_wrong(imported: Checkpoint) -> None:
    app = opened(imported, "decode")
    assert app.text_input(key="input").value == TEXT
    assert not app.error
    assert "The model writes" in said(app)
    assert app.text_input(key="target").placeholder.startswith("not known")


@pytest.mark.parametrize("page", ["attention", "decode"])
def test_without_an_example_an_input_is_asked_for(page: str) -> None:
    vocabulary = Vocabulary("characters", list("abc"))
    model, data = Transformer(small_config(vocabulary)).eval(), DataConfig(task="imported")
    made = Checkpoint.of(model, vocabulary, vocabulary, data, None, [])
    app = opened(Checkpoint.load(made.to_bytes()), page)
    assert [block.value for block in app.info] == [
        "Type an input above, from tokens that this model knows: `a` `b` `c`"
    ]
    app.text_input(key="input").set_value("abc").run()
    assert not app.info
    assert "The model writes" in said(app)


@pytest.mark.parametrize("method", ["zero", "mean", "patch"])
def test_heads_are_switched_off_without_examples(imported: Checkpoint, method: str) -> None:
    app = opened(imported, "attention", panel="cause", write=method)
    assert not app.error
    assert "with all heads and with this change, too" in said(app)
    assert "mean" not in str(box(app, "They write instead").options)


# --- choosing one token of thousands --------------------------------------------------------------


def test_a_large_vocabulary_is_searched_and_not_sent(imported: Checkpoint) -> None:
    app = opened(imported, "decode", part="what_if")
    vocabulary = imported.source_vocabulary
    now = int(imported.encode(TEXT)[0, 0])
    alike = [token for token in most_alike(imported.model, now, MOST + 4) if token > 3][:MOST]
    becomes = box(app, "becomes")
    assert becomes.options == [vocabulary.tokens[token] for token in alike]
    assert becomes.value == str(alike[0])
    # A search chooses its best hit, and offers the others.
    app.text_input(key="instead search").set_value("w321").run()
    hits = [token for token in vocabulary.tokens if token.startswith("w321")]
    assert box(app, "becomes").options == hits
    assert box(app, "becomes").value == str(vocabulary.tokens.index("w321"))
    assert app.query_params["instead"] == str(vocabulary.tokens.index("w321"))
    assert f"{len(hits)} tokens have it." in said(app)
    # A search without hits leaves the choice as it is.
    app.text_input(key="instead search").set_value("zebra").run()
    assert "No token of this vocabulary has `zebra` in it." in said(app)
    assert box(app, "becomes").value == str(vocabulary.tokens.index("w321"))
    app.text_input(key="instead search").set_value("w").run()
    assert len(box(app, "becomes").options) == MOST
    assert f"{WORDS - 1:,} tokens have it; the best {MOST} are offered." in said(app)
    assert not app.exception


@pytest.mark.parametrize(
    ("address", "chosen"), [("4444", "w4440"), ("99999", None), ("2", None), ("²", None)]
)
def test_a_token_in_the_address_is_offered(
    imported: Checkpoint, address: str, chosen: str | None
) -> None:
    app = opened(imported, "decode", part="what_if", instead=address)
    becomes = box(app, "becomes")
    if chosen is None:  # no such token, or a special one
        assert becomes.value == str(imported.source_vocabulary.tokens.index(becomes.options[0]))
    else:
        assert becomes.value == address
        assert becomes.options[0] == chosen
    assert not app.error


# --- many inputs in 8 bits ------------------------------------------------------------------------


def test_many_inputs_are_decoded_in_8_bits_where_that_is_faster(imported: Checkpoint) -> None:
    app = opened(imported, "decode", part="batch")
    assert not app.checkbox
    large = make(d_model=FASTER_FROM, num_heads=2)
    app = opened(large, "decode", part="batch")
    app.checkbox(key="batch int8").check()
    app.text_area(key="batch text").set_value("abc\nfed").run()
    next(button for button in app.button if button.label == "Decode 2 inputs").click().run()
    end = time.monotonic() + 60
    while "batch shown" not in app.session_state and time.monotonic() < end:
        app.run()

    def written(by: Checkpoint) -> dict[str, Answer]:
        found = by.answering(["abc", "fed"], Greedy(max_length=LONGEST_OUTPUT))
        return {answer.source: answer for progress in found for answer in progress.new.values()}

    shown = {answer.source: answer for answer in app.session_state["batch shown"].answers.values()}
    assert shown == written(in_8_bits(large)) != written(large)

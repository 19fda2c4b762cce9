"""Every page through Streamlit's own test runner: what the browser tests need not repeat."""

import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from transformer.checkpoint import Checkpoint
from transformer.config import TransformerConfig
from transformer.model import Transformer
from transformer.presets import prepare
from transformer.runs import ENDED, Run, create_run, list_runs, start
from transformer.tasks import SEVEN_PAIRS
from transformer.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("train", "attention", "decode", "checkpoints")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path) -> Iterator[None]:
    """Runs and uploads of a test go into a folder of its own."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield
    os.chdir(before)


def open_page(name: str = "", **query: str) -> AppTest:
    # From app.py first, as Streamlit then knows all pages; the test runner needs that.
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.run()
    for key, value in query.items():
        app.query_params[key] = value
    if name:
        app.switch_page(f"pages/{name}.py").run()
    return app


def messages(app: AppTest) -> list[str]:
    return [element.value for element in (*app.error, *app.warning)]


@pytest.mark.parametrize("name", ["", *PAGES])
def test_page_runs_and_has_one_title(name: str) -> None:
    app = open_page(name)
    assert not app.exception
    assert not messages(app)
    assert len(app.title) == 1


@pytest.mark.parametrize("checkpoint", ["reverse", "sort"])
@pytest.mark.parametrize("name", ["attention", "decode"])
def test_every_bundled_checkpoint_answers_its_own_example(name: str, checkpoint: str) -> None:
    app = open_page(name, checkpoint=checkpoint)
    assert not messages(app)
    text = app.text_input(key="input").value or ""
    answer = text[::-1] if checkpoint == "reverse" else "".join(sorted(text))
    assert any(f"The model writes `{answer}`" in block.value for block in app.markdown)


PANELS = ("look", "number", "cause", "evidence", "export")


@pytest.mark.parametrize("compare", ["", "untrained", "checkpoint", "input"])
def test_every_panel_of_attention_runs(compare: str) -> None:
    app = open_page("attention", checkpoint="sort", input="hello", compare=compare, cell="1.2")
    for panel in PANELS:
        app.query_params["panel"] = panel
        app.run()
        assert not app.exception
        assert not messages(app)


HOSTILE = {
    "head": "cross.99999.9",
    "with": "x cross.0.0 <b> cross.0.0.0.0",
    "cell": "-1.2",
    "hide": "nan",
    "tokens": "s99999 <img>",
    "show": "difference",
    "panel": "nowhere",
    "compare": "<script>",
    "sort": "no such measure",
    "token": "-3",
    "without": "cross.9.9 <b>",
    "write": "no such way",
}


def test_a_mistaken_address_of_attention_does_no_harm() -> None:
    app = open_page("attention", checkpoint="reverse", input="abc", **HOSTILE)
    for panel in PANELS:
        for key, value in {**HOSTILE, "panel": panel}.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception
        assert not messages(app)


def test_an_output_of_ones_own_is_shown_instead_of_the_models() -> None:
    app = open_page("attention", checkpoint="reverse", input="abc", output="abc")
    assert any("for the output you gave, `abc`" in block.value for block in app.markdown)
    app.text_input(key="output").set_value("a b").run()
    assert "␣" in messages(app)[0] or "space" in messages(app)[0]
    app.text_input(key="output").set_value("x" * 500).run()
    assert "at most 127" in messages(app)[0]


def test_a_patch_that_cannot_fit_says_why() -> None:
    app = open_page(
        "attention",
        checkpoint="reverse",
        input="abc",
        panel="cause",
        without="encoder.0.0",
        write="patch",
        patch="abcdef",
    )
    assert "6 tokens and this one 3" in messages(app)[0]
    app.text_input(key="patch").set_value("xyz").run()
    assert not messages(app)


def test_the_knock_out_study_ends_with_what_it_found() -> None:
    app = open_page("attention", checkpoint="reverse", input="abc", panel="cause")
    app.button(key="knock out").click().run()
    study = app.session_state["knock-out study"]
    while study.running:
        time.sleep(0.1)
    app.run()
    assert any("Most hangs on encoder 1" in block.value for block in app.markdown)
    assert any("no spare heads" in block.value for block in app.markdown)
    assert not messages(app)


def test_a_study_of_another_choice_is_not_shown() -> None:
    app = open_page("attention", checkpoint="reverse", input="abc", panel="cause")
    app.button(key="knock out").click().run()
    study = app.session_state["knock-out study"]
    app.selectbox(key="checkpoint").set_value("sort").run()
    assert study.cancelled
    assert "knock-out study" not in app.session_state


def test_checkpoint_card_shows_model_beside_untrained() -> None:
    app = open_page("checkpoints", checkpoint="reverse")
    shown = {metric.label: (metric.value, metric.delta) for metric in app.metric}
    assert shown["Exact match"][1] == "untrained 0.0 %"
    assert float(shown["Exact match"][0].removesuffix(" %")) >= 99.5
    app.button(key="check").click().run()
    assert any("behaves exactly as it did" in block.value for block in app.markdown)


def test_a_missing_checkpoint_is_named_and_not_replaced() -> None:
    app = open_page("decode", checkpoint="nowhere")
    assert "nowhere" in messages(app)[0]
    assert app.selectbox(key="checkpoint").value is None


def test_choice_of_checkpoint_and_input_goes_along_to_the_next_page() -> None:
    app = open_page("attention", checkpoint="sort", input="zebra")
    app.switch_page("pages/decode.py").run()
    assert app.selectbox(key="checkpoint").value == "sort"
    assert app.text_input(key="input").value == "zebra"


def test_a_damaged_checkpoint_file_says_so_and_leaves_the_page_usable() -> None:
    _, config = prepare("reverse", training={"steps": 1})
    run = create_run(config)
    (run.path / "checkpoints" / "step-1.safetensors").write_bytes(b"\0" * 100)
    app = open_page("attention", checkpoint=f"run-{run.id}-1")
    assert len(messages(app)) == 1
    app.selectbox(key="checkpoint").set_value("reverse").run()
    assert not messages(app)


def finished_run() -> Run:
    _, config = prepare("reverse", training={"steps": 20, "final_examples": 20})
    run = create_run(config, name="**twenty** <b>steps</b>")
    start(run)
    while run.status().state not in ENDED:
        time.sleep(0.1)
    return run


def test_train_page_shows_a_finished_run_with_its_baselines() -> None:
    run = finished_run()
    app = open_page("train", run=run.id)
    assert not messages(app)
    shown = {metric.label: metric.delta for metric in app.metric}
    assert shown["Exact match"] == "untrained 0.0 %"
    assert shown["Loss"].startswith("untrained ")
    untrained = float(shown["Loss"].removeprefix("untrained "))
    assert abs(untrained - math.log(30)) < 1.6


def test_train_page_says_why_a_run_failed() -> None:
    _, config = prepare("pairs", "overfit", pairs=SEVEN_PAIRS)
    run = create_run(config, pairs=SEVEN_PAIRS.read_text("utf-8"))
    # The disk has damaged the person's pairs.
    (run.path / "data.tsv").write_bytes(b"good\tgut\nbad\t\xff\n")
    start(run)
    while run.status().state not in ENDED:
        time.sleep(0.1)
    app = open_page("train", run=run.id)
    assert any("not UTF&#45;8 text &#40;line 2&#41;" in message for message in messages(app))


def test_a_missing_run_is_named() -> None:
    app = open_page("train", run="abcdef123456")
    assert "abcdef123456" in messages(app)[0]


def test_settings_reach_the_run_and_a_wrong_one_is_named() -> None:
    app = open_page("train", task="reverse")
    app.number_input(key="reverse.tiny.TransformerConfig.num_heads").set_value(5).run()
    app.button(key="train").click().run()
    assert any("must divide d" in message for message in messages(app))
    assert not list_runs()
    app.number_input(key="reverse.tiny.TransformerConfig.num_heads").set_value(8).run()
    app.number_input(key="reverse.tiny.TrainingConfig.steps").set_value(2).run()
    app.button(key="train").click().run()
    assert not messages(app)
    config = list_runs()[0].config()
    assert (config.model.num_heads, config.training.steps) == (8, 2)
    while list_runs()[0].status().state not in ENDED:
        time.sleep(0.1)


def run_with_checkpoint(name: str, content: bytes) -> Run:
    _, config = prepare("reverse", training={"steps": 1})
    run = create_run(config, name=name)
    (run.path / "checkpoints" / "step-1.safetensors").write_bytes(content)
    return run


def test_runs_of_the_same_name_are_told_apart() -> None:
    content = (ROOT / "checkpoints" / "reverse.safetensors").read_bytes()
    older, newer = (run_with_checkpoint("twice", content) for _ in range(2))
    for run in (older, newer):
        app = open_page("attention", checkpoint=f"run-{run.id}-1", input="abc")
        app.text_input(key="input").set_value("abcd").run()
        assert app.selectbox(key="checkpoint").value == f"run-{run.id}-1"
        assert app.text_input(key="input").value == "abcd"
        assert not messages(app)


DAMAGED = ["[1]", "null", '{"created": "x"}', '{"created": 1e300, "name": 5}', "[" * 100_000]


@pytest.mark.parametrize("about", [*DAMAGED, '{"name": "\\ud800", "created": NaN}'])
def test_one_damaged_file_takes_no_page_down(about: str) -> None:
    run = create_run(prepare("reverse")[1])
    (run.path / "about.json").write_text(about)
    (run.path / "checkpoints" / "step-best.safetensors").write_bytes(b"")
    (run.path / "metrics.jsonl").write_text('{"kind": "eval"}\n[]\n{"step": 1, "loss": NaN}\n{"st')
    (run.path / "samples.jsonl").write_text('{"step": 1, "samples": [{}]}\n')
    (run.path / "status.json").write_text('{"state": ["running"], "pid": "x"}')
    for name in ("", *PAGES):
        app = open_page(name)
        assert not app.exception
        assert all("our fault" not in message for message in messages(app)), name


def test_a_run_deleted_while_it_is_watched_is_named() -> None:
    run = create_run(prepare("reverse")[1])
    app = open_page("train", run=run.id)
    shutil.rmtree(run.path)
    app.run()
    assert run.id in messages(app)[0]


def test_weights_that_overflow_are_named() -> None:
    checkpoint = Checkpoint.load(ROOT / "checkpoints" / "reverse.safetensors")
    huge = {name: tensor * 1e30 for name, tensor in checkpoint.tensors.items()}
    run = run_with_checkpoint("huge", Checkpoint(checkpoint.header, huge).to_bytes())
    for name in ("attention", "decode"):
        app = open_page(name, checkpoint=f"run-{run.id}-1")
        assert "overflow" in messages(app)[0]


def test_more_maps_than_a_browser_can_draw_are_refused() -> None:
    letters = Vocabulary("characters", "abc")
    config = TransformerConfig(
        source_vocab_size=len(letters),
        target_vocab_size=len(letters),
        d_model=64,
        num_heads=64,
        d_ff=8,
        max_length=300,
        num_encoder_layers=4,
        num_decoder_layers=1,
    )
    checkpoint = Checkpoint.load(ROOT / "checkpoints" / "reverse.safetensors")
    data, summary = checkpoint.header.data, checkpoint.summary
    made = Checkpoint.of(Transformer(config), letters, letters, data, summary, [("ab", "ba")])
    run = run_with_checkpoint("many", made.to_bytes())
    app = open_page("attention", checkpoint=f"run-{run.id}-1", input="abc" * 90)
    assert "Shorten the input" in messages(app)[0]

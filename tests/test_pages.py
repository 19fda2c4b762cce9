"""Every page through Streamlit's own test runner: what the browser tests need not repeat."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from transformer.presets import prepare
from transformer.runs import ENDED, Run, create_run, list_runs, start
from transformer.tasks import SEVEN_PAIRS

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

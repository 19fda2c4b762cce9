"""Every page in Streamlit's test runner: what the browser tests need not repeat."""

import ast
import math
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.opened_pages import messages, open_page, unfold_settings
from tests.support.places import ROOT, bundled_file
from tests.support.random_models import small_config
from tests.support.trainers import no_trainer_left
from transformer.checkpoint import Checkpoint
from transformer.model import Transformer
from transformer.runs.creation import About, create_run
from transformer.runs.directory import Run, list_runs
from transformer.runs.snapshots import save_snapshot
from transformer.tasks import SEVEN_PAIRS
from transformer.tasks.presets import prepare
from transformer.training import compute
from transformer.vocabulary import Vocabulary

PAGES = ("train", "runs", "attention", "decode", "checkpoints", "learn", "debug")


@pytest.fixture(autouse=True)
def _own_folder(own_folder: None, tmp_path: Path) -> Iterator[None]:
    """A folder of its own for each test; runs that a page started end with the test."""
    with no_trainer_left(tmp_path):
        yield


def test_an_option_that_is_chosen_stays_when_it_is_pressed_again() -> None:
    """Without ``required``, pressing the chosen option clears it, and the page takes the first."""
    found = {}
    for path in (ROOT / "pages").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(getattr(call, "func", None), "attr", "")
            if isinstance(call, ast.Call) and name in ("segmented_control", "pills"):
                options = {one.arg: ast.unparse(one.value) for one in call.keywords}
                found[f"{path.name}:{call.lineno}"] = options.get("required")
    assert found
    assert {place for place, required in found.items() if required != "True"} == set()


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


PANELS = ("look", "number", "cause", "spare", "evidence", "export")


@pytest.mark.parametrize("compare", ["", "untrained", "checkpoint", "input"])
def test_every_panel_of_attention_runs(compare: str) -> None:
    app = open_page("attention", checkpoint="sort", input="hello", compare=compare, cell="1.2")
    for panel in PANELS:
        app.query_params["panel"] = panel
        app.run()
        assert not app.exception
        assert not messages(app)
        sides = [block.value for block in app.markdown if block.value.startswith("Checked for ")]
        assert len(sides) == (2 if compare else 0)


def test_a_change_that_leaves_the_output_says_what_it_does_to_its_probabilities() -> None:
    place = {"input": "hello", "panel": "cause", "without": "decoder.0.0"}
    app = open_page("attention", checkpoint="sort", **place)
    said = "The model writes `ehllo` with all heads and with this change, too: the output stays, "
    said += "but the probabilities of its tokens change by up to 45."
    assert any(block.value.startswith(said) for block in app.markdown)
    app = open_page("attention", checkpoint="reverse", input="abc", panel="cause", write="patch")
    app.text_input(key="patch").set_value("abc").run()
    said = "the probability of each of its tokens changes by less than 0.1 points."
    assert any(said in block.value for block in app.markdown)


def test_what_if_says_how_both_outputs_came_about() -> None:
    for query, said in (
        ({}, "Both outputs are decoded greedily. "),
        ({"prefix": "6.7"}, "Both outputs keep the first 2 tokens of your branch, "),
        ({"seed": "3"}, "Both outputs are decoded greedily; the output above is sampled. "),
    ):
        app = open_page("decode", checkpoint="reverse", input="abc", part="what_if", **query)
        assert any(block.value.startswith(said) for block in app.caption), said


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
    assert any("for `abc`, the output you gave" in block.value for block in app.markdown)
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
    assert any("The most important head is encoder 1" in block.value for block in app.markdown)
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
    save_snapshot(run.path, 1, 0.0, b"\0" * 100, b"")
    app = open_page("attention", checkpoint=f"run-{run.id}-1")
    assert len(messages(app)) == 1
    app.selectbox(key="checkpoint").set_value("reverse").run()
    assert not messages(app)


@pytest.fixture(scope="module")
def trained(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    _, config = prepare("reverse", training={"steps": 20, "final_examples": 20})
    root = tmp_path_factory.mktemp("trained")
    run = create_run(config, about=About("**twenty** <b>steps</b>"), root=root)
    assert nursery.train(run, environment={}).wait() == 0, run.log_tail()
    return run.path


@pytest.fixture
def finished(trained: Path, own_folder: None) -> Run:
    """A copy of that run in the test's own folder of runs."""
    return Run(shutil.copytree(trained, Path("runs") / trained.name))


def test_train_page_shows_a_finished_run_with_its_baselines(finished: Run) -> None:
    app = open_page("train", run=finished.id)
    assert not messages(app)
    shown = "".join(block.proto.body for block in app.get("html"))
    assert "Not learned:" in shown
    [loss, exact] = re.findall(r">untrained</th><td>(.*?)</td><td>(.*?)</td>", shown)[0]
    assert exact == "0.0 %"
    untrained = float(loss)
    # Tied embeddings: an untrained model favours the token it has just read.
    assert 0 < untrained - math.log(30) < 2.5


def test_train_page_says_why_a_run_failed(nursery: Nursery) -> None:
    _, config = prepare("pairs", "overfit", pairs=SEVEN_PAIRS)
    run = create_run(config, pairs=SEVEN_PAIRS, root=Path("runs").resolve())
    # The stored pairs are damaged, as by a disk fault.
    (run.path / "data.tsv").write_bytes(b"good\tgut\nbad\t\x81\n")
    assert nursery.train(run, environment={}).wait() == 1
    app = open_page("train", run=run.id)
    shown = "".join(block.proto.body for block in app.get("html"))
    assert "<b>Failed:</b>" in shown
    assert "not UTF-8 text (line 2)" in shown


def test_a_point_that_its_run_no_longer_keeps_is_told_from_one_that_never_was(
    finished: Run,
) -> None:
    for name, says in ((finished.id, "the best and the last five"), ("none", "belong to another")):
        assert says in messages(open_page("decode", checkpoint=f"run-{name}-7"))[0]


def test_a_finished_run_is_duplicated_into_the_form(finished: Run) -> None:
    app = open_page("train", run=finished.id)
    app.button(key=f"duplicate {finished.id}").click().run()
    steps = finished.config().training.steps
    unfold_settings(app)
    assert app.number_input(key="reverse.tiny.TrainingConfig.steps").value == steps


def test_train_page_says_what_a_run_computes_on_and_in(finished: Run) -> None:
    captions = [caption.value for caption in open_page("train", run=finished.id).caption]
    assert sum(text.startswith("On the processor, in ") for text in captions) == 1
    (finished.path / compute.FILE).write_text('{"device": "**cpu**", "precision": 3}')
    app = open_page("train", run=finished.id)
    assert not messages(app)
    assert not any(caption.value.startswith("On the") for caption in app.caption)


def test_a_missing_run_is_named() -> None:
    app = open_page("train", run="abcdef123456")
    assert "abcdef123456" in messages(app)[0]


def test_settings_reach_the_run_and_a_wrong_one_is_named() -> None:
    app = unfold_settings(open_page("train", task="reverse"))
    app.number_input(key="reverse.tiny.TransformerConfig.num_heads").set_value(5).run()
    app.button(key="train").click().run()
    assert any("must divide Width" in message for message in messages(app))
    assert not list_runs()
    app.number_input(key="reverse.tiny.TransformerConfig.num_heads").set_value(8).run()
    app.number_input(key="reverse.tiny.TrainingConfig.steps").set_value(2).run()
    app.button(key="train").click().run()
    assert not messages(app)
    config = list_runs()[0].config()
    assert (config.model.num_heads, config.training.steps) == (8, 2)


def run_with_checkpoint(name: str, content: bytes) -> Run:
    _, config = prepare("reverse", training={"steps": 1})
    run = create_run(config, about=About(name))
    save_snapshot(run.path, 1, 0.0, content, b"")
    return run


def test_runs_of_the_same_name_are_told_apart() -> None:
    content = (bundled_file("reverse")).read_bytes()
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
    app = open_page()
    for name in ("", *PAGES):
        if name:
            app.switch_page(f"pages/{name}.py").run()
        assert not app.exception
        assert all("our fault" not in message for message in messages(app)), name


def test_a_run_deleted_while_it_is_watched_is_named() -> None:
    run = create_run(prepare("reverse")[1])
    app = open_page("train", run=run.id)
    shutil.rmtree(run.path)
    app.run()
    assert run.id in messages(app)[0]


def test_weights_that_overflow_are_named() -> None:
    checkpoint = Checkpoint.load(bundled_file("reverse"))
    huge = {name: tensor * 1e30 for name, tensor in checkpoint.tensors.items()}
    run = run_with_checkpoint("huge", Checkpoint(checkpoint.header, huge).to_bytes())
    for name in ("attention", "decode"):
        app = open_page(name, checkpoint=f"run-{run.id}-1")
        assert "overflow" in messages(app)[0]


def test_more_maps_than_a_browser_can_draw_are_refused() -> None:
    letters = Vocabulary("characters", "abc")
    config = small_config(
        letters, d_model=64, num_heads=64, d_ff=8, max_length=300, num_encoder_layers=4
    )
    checkpoint = Checkpoint.load(bundled_file("reverse"))
    data, summary = checkpoint.header.data, checkpoint.summary
    made = Checkpoint.of(Transformer(config), letters, letters, data, summary, [("ab", "ba")])
    run = run_with_checkpoint("many", made.to_bytes())
    app = open_page("attention", checkpoint=f"run-{run.id}-1", input="abc" * 90)
    assert "Shorten the input" in messages(app)[0]


@pytest.mark.parametrize("page", ["", "attention"])
def test_a_text_too_long_is_named_and_stays(page: str) -> None:
    app = open_page(page, checkpoint="reverse", input="abc")
    key = "input" if page else "overview input"
    app.text_input(key=key).set_value("a" * 10_001).run()
    assert "This text has 10,001 characters; at most 10,000 are read here" in str(messages(app))
    assert app.text_input(key=key).value == "a" * 10_001


def test_what_is_typed_while_another_model_comes_stays() -> None:
    app = open_page("")
    # The state that a script run leaves if typing interrupts it before its last line.
    app.session_state["overview shown"] = ("abc", "reverse", "abc")
    app.text_input(key="overview input").set_value("thomas").run()
    assert app.text_input(key="overview input").value == "thomas"
    assert app.session_state["current input"] == "thomas"

"""The Train form in Streamlit's test runner: its address, and the user's own pairs."""

import errno
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

from pages.components.stores import pairs as pairs_store
from pages.components.training import form
from tests.support.opened_pages import messages, open_page, unfold_settings
from tests.support.trainers import PATIENCE, no_trainer_left
from transformer.runs.creation import create_run
from transformer.runs.directory import ENDED, list_runs
from transformer.tasks import SEVEN_PAIRS
from transformer.tasks.presets import prepare

TYPED = "good morning\tguten Morgen\nno tab here\nthank you\tdanke\nNA\t1e5"


@pytest.fixture(autouse=True)
def _own_folder(own_folder: None, tmp_path: Path) -> Iterator[None]:
    """A folder of its own for each test; runs that a page started end with the test."""
    with no_trainer_left(tmp_path):
        yield


def test_an_address_fills_the_form_in_and_names_what_cannot_be() -> None:
    app = open_page("train", task="sort", preset="tiny", steps="7", d_model="32", num_heads="x")
    assert not app.number_input  # folded settings are not drawn
    [message] = messages(app)
    unfold_settings(app)
    assert app.selectbox(key="preset sort").value == "tiny"
    assert app.number_input(key="sort.tiny.TrainingConfig.steps").value == 7
    assert app.number_input(key="sort.tiny.TransformerConfig.d_model").value == 32
    assert app.number_input(key="sort.tiny.TransformerConfig.num_heads").value == 2
    assert messages(app) == [message]
    assert "num&#95;heads" in message
    assert "d&#95;model" not in message
    # Changed settings are added to the address; those equal to the preset are removed.
    app.number_input(key="sort.tiny.TrainingConfig.steps").set_value(8).run()
    app.number_input(key="sort.tiny.TransformerConfig.d_model").set_value(64).run()
    assert app.query_params == {"task": "sort", "preset": "tiny", "steps": "8"}
    # Another page and back: the form is as it was.
    app.switch_page("pages/checkpoints.py").run()
    app.query_params.clear()
    app.switch_page("pages/train.py").run()
    unfold_settings(app)
    assert app.number_input(key="sort.tiny.TrainingConfig.steps").value == 8


def test_a_setting_typed_stays_when_the_settings_are_folded() -> None:
    app = unfold_settings(open_page("train", task="sort", preset="tiny"))
    app.number_input(key="sort.tiny.TrainingConfig.steps").set_value(9)
    app.session_state[form.SETTINGS] = False  # with the same click
    app.run()
    assert app.query_params["steps"] == "9"
    app.session_state[form.EXPERT] = False
    app.run()
    assert not app.number_input
    assert app.query_params["steps"] == "9"
    unfold_settings(app)
    assert app.number_input(key="sort.tiny.TrainingConfig.steps").value == 9
    app.session_state[form.SETTINGS] = app.session_state[form.EXPERT] = False
    app.run()
    app.button(key="reset settings").click().run()
    assert "steps" not in app.query_params
    app.run()
    assert "steps" not in app.query_params


def test_a_link_with_hidden_controls_shows_one_line_and_one_button() -> None:
    app = open_page("train", task="sort", steps="2", final_examples="8", controls="hidden")
    assert [button.label for button in app.main.button] == ["Train"]
    assert not app.number_input
    assert any(
        "Sort letters" in block.value and "updates 2" in block.value for block in app.markdown
    )
    app.button(key="train").click().run()
    config = list_runs()[0].config()
    assert (config.data.task, config.training.steps) == ("sort", 2)
    # The page shows the run now; a new form is as the link said.
    assert app.query_params == {"run": [list_runs()[0].id]} or set(app.query_params) == {"run"}
    app.button(key="new run").click().run()
    assert app.query_params["controls"] == "hidden"


def refuses(app: AppTest, reason: str) -> bool:
    """Whether a click on Train shows this reason and starts no run."""
    before = len(list_runs())
    app.button(key="train").click().run()
    said = [block.value.replace("&#45;", "-") for block in app.error]
    return any(reason in sentence for sentence in said) and len(list_runs()) == before


def typed_pairs(app: AppTest, text: str) -> None:
    app.text_area(key="pairs text").set_value(text).run()
    wait_until_read(app)


def wait_until_read(app: AppTest) -> None:
    deadline = time.monotonic() + PATIENCE
    while not messages(app) and not any("Pairs read" in block.value for block in app.markdown):
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()


def test_typed_pairs_come_with_advice_and_survive_a_reload() -> None:
    app = open_page("train", task="pairs")
    assert refuses(app, "There are no pairs yet")
    typed_pairs(app, TYPED)
    assert any("Pairs read: 3.** Lines left out: 1." in block.value for block in app.markdown)
    assert app.selectbox(key="preset pairs").value == "overfit"
    shown = "".join(block.proto.body for block in app.get("html"))
    assert "<td>2</td><td>expected one tab or arrow" in shown
    assert "<td>NA</td><td>1e5</td>" in shown
    address = {**app.query_params}
    assert len(address["pairs"]) * 4 >= 64
    again = open_page("train", **address)
    assert again.text_area(key="pairs text").value == TYPED
    assert again.selectbox(key="preset pairs").value == "overfit"
    unfold_settings(again).number_input(key="pairs.overfit.TrainingConfig.steps").set_value(2).run()
    again.button(key="train").click().run()
    assert not messages(again)
    run = list_runs()[0]
    assert run.data_file is not None
    assert run.data_file.read_text("utf-8") == (
        "good morning\tguten Morgen\nthank you\tdanke\nNA\t1e5\n"
    )
    while run.status().state not in ENDED:
        time.sleep(0.1)
    assert run.status().state == "finished"
    assert (
        run.config() == prepare("pairs", "overfit", pairs=run.data_file, training={"steps": 2})[1]
    )


@pytest.mark.parametrize("link", [{}, {"controls": "hidden"}])
def test_a_demo_takes_no_pairs(link: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_MODE", "demo")
    app = open_page("train", task="pairs", pairs="0" * 32, **link)
    said = [block.value for block in (*app.info, *app.error)]
    assert any("switched off here" in sentence for sentence in said)
    assert not app.text_area
    assert refuses(app, "switched off here")


def test_a_chosen_column_outlives_a_late_report_of_the_fields_before_it() -> None:
    """A browser may resend the fields drawn earlier; they must not undo the choice."""
    app = open_page("train", task="pairs")
    rows = (f"{n}\tcat {n}\tKatze {n}" for n in range(20))
    typed_pairs(app, "\n".join(["id\tenglish\tdeutsch", *rows]))

    def target() -> Selectbox:
        [box] = [box for box in app.selectbox if box.label == "Target column"]
        return box

    before = app._tree
    assert target().value == 2
    for field in (*app.selectbox, *app.checkbox, *app.number_input, *app.text_area):
        field.set_value(field.value)  # so that it can be resent after the page has dropped it
    target().set_value(0).run()
    wait_until_read(app)
    assert target().value == 0
    app._tree = before
    app.run()
    wait_until_read(app)
    assert target().value == 0


def test_pairs_that_cannot_be_read_are_named_and_kept() -> None:
    app = open_page("train", task="pairs")
    typed_pairs(app, "cat Katze")
    assert "No pair was found" in messages(app)[0]
    assert app.text_area(key="pairs text").value == "cat Katze"
    assert refuses(app, "No pair was found")


def test_lines_that_are_left_out_are_told_with_the_reason() -> None:
    app = open_page("train", task="pairs")
    assert refuses(app, "no pairs yet")
    typed_pairs(app, "good morning\tguten Morgen\nno tab here\nthank you\tdanke\nnull\tNA")
    assert any("Pairs read: 3.** Lines left out: 1." in block.value for block in app.markdown)
    assert any("Lines left out, with the reasons (1)" in fold.label for fold in app.expander)
    # Unreadable pairs leave the rest of the page as it is.
    typed_pairs(app, "cat Katze")
    assert "No pair was found" in messages(app)[0]
    assert any("A link to this form" in fold.label for fold in app.expander)


def test_pairs_with_commas_are_read_from_the_box_too() -> None:
    app = open_page("train", task="pairs")
    typed_pairs(app, "cat, Katze\ndog, Hund")
    assert not messages(app)
    assert any("Pairs read: 2.** Lines left out: 0." in block.value for block in app.markdown)


def test_a_person_may_choose_otherwise_and_come_back() -> None:
    app = open_page("train", task="pairs")
    typed_pairs(app, TYPED)
    app.selectbox(key="preset pairs").set_value("small").run()
    unfold_settings(app).selectbox(key="pairs.small.DataConfig.tokens").set_value("bpe").run()
    assert app.query_params["tokens"] == "bpe"
    app.selectbox(key="preset pairs").set_value("tiny").run()
    assert app.selectbox(key="pairs.tiny.DataConfig.tokens").value == "bpe"
    app.button(key="advice").click().run()
    assert app.selectbox(key="preset pairs").value == "overfit"
    assert app.selectbox(key="pairs.overfit.DataConfig.tokens").value == "words"


@pytest.mark.parametrize("pairs", ["0" * 32, "../../../etc", "x"])
def test_pairs_that_are_not_here_are_named(pairs: str) -> None:
    for controls in ({}, {"controls": "hidden"}):
        app = open_page("train", task="pairs", pairs=pairs, **controls)
        assert "not here" in messages(app)[0]
        assert refuses(app, "no pairs yet" if not controls else "not here")


def test_the_link_of_a_run_on_own_pairs_opens_the_form_with_them() -> None:
    _, config = prepare("pairs", "overfit", pairs=SEVEN_PAIRS, training={"steps": 3, "seed": 9})
    run = create_run(config, pairs=SEVEN_PAIRS)
    assert run.data_file is not None
    query = form.link_of(config, pairs_store.keep_run(run.data_file, "seven"))
    app = open_page("train", **query)
    # A click while the pairs are still being read waits for them.
    app.button(key="train").click().run()
    deadline = time.monotonic() + PATIENCE
    while len(list_runs()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()
    copy = next(found for found in list_runs() if found.id != run.id)
    assert copy.config() == config
    assert copy.data_file is not None
    assert copy.data_file.read_bytes() == run.data_file.read_bytes()


def test_a_paste_that_is_too_long_is_refused_in_a_sentence_and_stays() -> None:
    app = open_page("train", task="pairs")
    text = "go -> geh\n" * 110_000
    app.text_area(key="pairs text").set_value(text).run()
    assert any("1,100,000 characters; up to 1,000,000" in one for one in messages(app))
    assert app.text_area(key="pairs text").value == text


def test_a_full_disk_is_said_of_typed_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    app = open_page("train", task="pairs")
    monkeypatch.setattr(pairs_store.ArrivingFile, "add", full)
    app.text_area(key="pairs text").set_value("go -> geh").run()
    assert any("No space left on device&#46; Free some space" in one for one in messages(app))
    assert app.text_area(key="pairs text").value == "go -> geh"

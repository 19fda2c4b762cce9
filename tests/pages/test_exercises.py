"""For a class: exercises on the Overview page, and the author's name on runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages.components.shell.lessons import FILE, VARIABLE
from tests.lessons.test_lesson import LIST
from tests.runs.test_table import CONFIG
from tests.support.opened_pages import messages, open_page, unfold_settings
from tests.support.record_verdicts import INTO
from tests.support.trainers import no_trainer_left
from transformer.runs.creation import About, create_run
from transformer.runs.directory import ROOT, list_runs
from transformer.runs.table import search, summarise, table_csv


@pytest.fixture(autouse=True)
def _own_folder(own_folder: None, tmp_path: Path) -> Iterator[None]:
    with no_trainer_left(tmp_path):
        yield


@pytest.mark.parametrize("page", ["", "attention"])
def test_every_page_tells_a_teacher_how(page: str) -> None:
    app = open_page(page)
    assert any(one.value.startswith("**Exercises.**") for one in app.sidebar.markdown)


def test_the_overview_begins_with_the_exercises() -> None:
    assert not any("Exercises" in block.value for block in open_page().main.markdown)
    Path(FILE).write_text(LIST, "utf-8")
    app = open_page()
    assert not app.exception
    said = [block.value for block in app.main.markdown]
    assert "**Exercises**" in said
    assert "&#42;&#42;Which&#42;&#42; head?" in said  # text, not Markdown
    assert len(messages(app)) == 3


def test_a_list_that_is_named_and_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "week-4.md")
    assert "no file week" in messages(open_page())[0]


def test_a_name_is_given_once_and_stands_beside_the_runs_that_follow() -> None:
    create_run(CONFIG, about=About("before"))
    app = open_page("train", task="sort", steps="2", final_examples="8")
    app.text_input(key="your name").set_value("  Zoë <b>  Q ").run()
    app.button(key="train").click().run()
    run = list_runs()[0]
    assert run.about()["author"] == "Zoë <b> Q"
    every = [summarise(one) for one in list_runs()]
    assert [one.author for one in every] == ["Zoë <b> Q", ""]
    assert search(every, "zoë") == every[:1]
    assert b"Zo\xc3\xab <b> Q" in table_csv(every)


def test_the_advice_of_a_verdict_fills_the_form() -> None:
    shutil.copytree(INTO / "rate-too-high", ROOT / "0123456789ab")
    app = open_page("train", run="0123456789ab")
    [button] = [one for one in app.main.button if one.label.startswith("Lower it to about 0.003")]
    button.click().run()
    assert app.query_params["learning_rate"] == "0.003"
    assert app.query_params["steps"] == "300"
    app.run()  # the test runner does not follow a page switch
    unfold_settings(app)
    assert app.number_input(key="reverse.tiny.TrainingConfig.learning_rate").value == 0.003
    assert app.button(key="train")

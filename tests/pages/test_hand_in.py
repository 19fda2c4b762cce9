"""A run is handed in from its page, and handed-in files become a table."""

import html
import json

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.shell.lessons import built_in
from tests.support.recorded_run import record_run
from tests.support.small_training import made
from transformer.lessons.worksheet import worksheet
from transformer.report.contents import report_on
from transformer.report.page import page_of
from transformer.runs.directory import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    _, config = made("reverse")
    [*_, last] = record_run(config, tmp_path_factory.mktemp("runs"))
    return last


def _collect() -> None:
    import streamlit as st

    from pages.components.runs.hand_in import handed_in

    if not st.session_state.get("elsewhere"):
        handed_in()


def test_pages_become_a_table_and_others_are_named(run: Run) -> None:
    app = AppTest.from_function(_collect, default_timeout=60).run()
    pages = [
        (f"{name}.html", page_of(report_on(run, author=name)), "text/html")
        for name in ("Ada", "<b>Emmy</b>")
    ]
    app.file_uploader[0].set_value([*pages, ("notes.json", b"{}", "application/json")]).run()
    assert not app.exception
    assert list(app.dataframe[0].value["Name"]) == ["Ada", "<b>Emmy</b>"]
    assert set(app.dataframe[0].value["Updates"]) == {6}
    [error] = [html.unescape(error.value) for error in app.error]
    assert error.startswith("notes.json is not a report of this app")


def test_the_table_counts_sentences_and_outlasts_a_visit_to_another_page(run: Run) -> None:
    said = "It reverses. I saw 3.5 % wrong!\nHow? By its last head"
    with_words = page_of(report_on(run, author="Ada", sentences=[("Why?", said)]))
    pages = [
        ("ada.html", with_words, "text/html"),
        ("emmy.html", page_of(report_on(run, author="Emmy")), "text/html"),
    ]
    app = AppTest.from_function(_collect, default_timeout=60).run()
    app.file_uploader[0].set_value(pages).run()
    written = {"Name": ["Ada", "Emmy"], "Sentences written": [4, 0]}
    assert app.dataframe[0].value[list(written)].to_dict("list") == written
    assert any("By its last head" in html.unescape(one.value) for one in app.markdown)
    # A visit to another page empties the upload field.
    app.session_state["elsewhere"] = True
    app.run()
    assert not app.dataframe
    app.session_state["elsewhere"] = False
    app.run()
    assert app.dataframe[0].value[list(written)].to_dict("list") == written
    # Uploading the same page again adds no row.
    app.file_uploader[0].set_value([pages[0]]).run()
    assert list(app.dataframe[0].value["Name"]) == ["Ada", "Emmy"]
    app.button(key="empty handed in").click().run()
    assert list(app.dataframe[0].value["Name"]) == ["Ada"]


def test_worksheets_become_a_table_with_a_column_a_question() -> None:
    lesson = built_in()
    first, second, *_ = lesson.exercises
    pages = [
        (f"{name}.html", worksheet(lesson, answers, name), "text/html")
        for name, answers in (("Ada", {first: "=1+1"}), ("Emmy", {second: "64"}))
    ]
    app = AppTest.from_function(_collect, default_timeout=60).run()
    app.file_uploader[0].set_value(pages).run()
    assert not app.exception
    every, answers = (table.value for table in app.dataframe)
    assert "Loss, nats per token" not in every  # an empty column is left out
    # The column after the name counts answered questions, not written sentences.
    assert list(every)[:2] == ["Name", "Answered"]
    assert list(every["Answered"]) == ["1 of 16"] * 2
    assert list(every["Verdict"]) == ["1 of 16 questions answered"] * 2
    for table in app.dataframe:
        columns = json.loads(table.proto.columns)
        assert columns["Name"]["pinned"]
        assert not columns[list(table.value)[1]]["pinned"]
    assert json.loads(app.dataframe[0].proto.columns)["Verdict"]["width"] >= 200
    assert list(answers["Name"]) == ["Ada", "Emmy"]
    assert list(answers[first.question]) == ["=1+1", "not answered"]
    assert list(answers[second.question]) == ["not answered", "64"]


def test_the_page_to_hand_in_holds_ones_own_words(run: Run) -> None:
    def hand(path: str) -> None:
        from pathlib import Path

        from pages.components.runs.hand_in import hand_in
        from transformer.runs.directory import Run

        hand_in(Run(Path(path)))

    app = AppTest.from_function(hand, default_timeout=60, args=(str(run.path),)).run()
    app.text_input[0].set_value("Ada")
    app.text_area[0].set_value("It reverses.").run()
    assert not app.exception
    assert app.text_area[0].value == "It reverses."


def test_what_the_button_gives_is_read_again(run: Run) -> None:
    from pages.components.runs.hand_in import made_page
    from transformer.report.reading import read_report

    found = read_report(made_page(run, " Ada ", "It reverses."), "report.html")
    assert (found.author, found.sentences) == ("Ada", "It reverses.")
    assert not read_report(made_page(run, "", "  "), "report.html").sentences
    assert found.title == "recorded"

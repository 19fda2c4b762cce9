"""The lesson on the Learn page: its steps, answers that stay, and a teacher's own."""

from pathlib import Path

import pytest

from pages.components.shared.lessons import FILE, VARIABLE, built_in
from pages.components.shell.text import plain
from pages.components.stores import answers
from tests.lessons.test_lesson import LIST
from tests.support.opened_pages import messages, open_page

pytestmark = pytest.mark.usefixtures("own_folder")


def test_a_step_has_links_questions_and_answers_that_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pages.components.shell.browser.owner", lambda: "a" * 64)
    app = open_page("learn", learn="lesson", part="2")
    assert not messages(app)
    step = built_in().steps[1]
    assert [area.label for area in app.text_area] == [
        plain(exercise.question) for exercise in step.exercises
    ]
    app.text_area[0].set_value("columns on the left").run()
    assert any("1 of" in caption.value for caption in app.caption)
    # Another session of the same browser.
    again = open_page("learn", learn="lesson", part="2")
    assert again.text_area[0].value == "columns on the left"
    assert not open_page("learn", learn="lesson", part="3").text_area[0].value
    monkeypatch.setattr("pages.components.shell.browser.owner", lambda: "b" * 64)
    assert not open_page("learn", learn="lesson", part="2").text_area[0].value


def test_answers_that_cannot_be_written_stay_on_the_page() -> None:
    Path(answers.FOLDER).parent.mkdir(exist_ok=True)
    Path(answers.FOLDER).write_text("in the way")
    app = open_page("learn", learn="lesson")
    app.text_area[0].set_value("they are the same").run()
    assert "kept until this tab is closed" in app.warning[0].value
    assert app.text_area[0].value == "they are the same"


def test_the_class_sees_its_own_lesson_first() -> None:
    Path(FILE).write_text(LIST, "utf-8")
    app = open_page("learn", learn="lesson")
    assert app.selectbox(key="lesson").value == "class"
    assert len(app.text_area) == 4
    assert len(messages(app)) == 4


def test_a_list_that_is_named_and_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "week-4.md")
    assert "no file week" in messages(open_page("learn", learn="lesson"))[0]


def test_a_file_that_is_dropped_becomes_the_lesson_or_says_why_not() -> None:
    app = open_page("learn", learn="lesson")
    app.file_uploader(key="lesson file").upload("week.md", LIST.encode(), "text/markdown").run()
    assert app.selectbox(key="lesson").value == "own"
    assert app.text_area[0].label == "What does it remember?"
    app.file_uploader(key="lesson file").upload("week.md", b"\xff\xfe", "text/markdown").run()
    assert "is no text in UTF" in app.error[0].value
    assert app.text_area[0].label == "What does it remember?"

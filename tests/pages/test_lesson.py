"""The lesson on the Learn page: its steps, saved answers, and a teacher's own lesson."""

import html
from pathlib import Path

import pytest

from pages.components.shell import lessons
from pages.components.shell.lessons import FILE, VARIABLE, built_in, link_of, name_of
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


def test_a_tab_that_is_behind_another_overwrites_none_of_its_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pages.components.shell.browser.owner", lambda: "a" * 64)
    old, new = (open_page("learn", learn="lesson", part="2") for _ in range(2))
    old.text_area[0].set_value("a first guess").run()
    new.run()
    new.text_area[0].set_value("the whole answer").run()
    # The old tab has not seen that answer: the text typed there is appended to it.
    old.text_area[0].set_value("a first guess, and more").run()
    assert old.text_area[0].value == "the whole answer\n\na first guess, and more"
    # A tab that has seen the merged answer may replace it.
    new.run()
    assert new.text_area[0].value == old.text_area[0].value
    new.text_area[0].set_value("the end").run()
    assert new.text_area[0].value == "the end"
    # After a server restart, a browser sends its tab's old text; the saved answer stays.
    late = open_page("learn", learn="lesson")
    key = old.text_area[0].key
    assert key
    late.session_state[key] = "a first guess"
    late.query_params["part"] = "2"
    assert late.run().text_area[0].value == "the end"


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
    assert any("4 exercises found, in 1 step" in html.unescape(one.value) for one in app.caption)
    app.file_uploader(key="lesson file").upload("week.md", b"\xff\xfe", "text/markdown").run()
    assert "is not text in UTF" in app.error[0].value
    assert app.text_area[0].label == "What does it remember?"


def test_the_tab_that_an_exercise_opens_shows_its_question_and_the_way_back() -> None:
    exercise = built_in().steps[2].exercises[0]  # a head of "reverse", on Attention
    assert link_of(exercise) == f"./{exercise.link}&asked={name_of(exercise)}"
    app = open_page("attention", **exercise.query, asked=name_of(exercise))
    assert not messages(app)
    said = f"**{exercise.title}.** {plain(exercise.question)}"
    assert said in [block.value for block in app.main.markdown]
    assert app.query_params["asked"] == name_of(exercise)
    # The question follows to other pages of the tab, but not into the lesson, which contains it.
    app.query_params.clear()
    app.switch_page("pages/decode.py").run()
    assert said in [block.value for block in app.main.markdown]
    app.button(key="close asked").click().run()
    assert said not in [block.value for block in app.main.markdown]
    name = name_of(exercise)
    back = open_page("learn", learn="lesson", part="3", asked=name)
    assert said not in [block.value for block in back.main.markdown]


def test_a_question_of_a_file_that_was_dropped_is_shown_and_one_of_no_lesson_is_not() -> None:
    app = open_page("learn", learn="lesson")
    app.file_uploader(key="lesson file").upload("week.md", LIST.encode(), "text/markdown").run()
    [asked] = [one for one in lessons._tried.values() if one.title == "Seven sentences"]
    tab = open_page("train", **asked.query, asked=name_of(asked))
    assert "**Seven sentences.** What does it remember?" in [one.value for one in tab.main.markdown]
    gone = open_page("train", asked="0123456789ab")
    assert not messages(gone)
    assert not any(button.key == "close asked" for button in gone.button)


def test_ones_own_lesson_is_there_again_after_another_page_and_said_to_be_gone_after_a_reload() -> (
    None
):
    app = open_page("learn", learn="lesson")
    two = "# Mine\n## One\n- [A](train): why?\n## Two\n- [B](decode): who?\n"
    app.file_uploader(key="lesson file").upload("w.md", two.encode(), "text/markdown").run()
    app.button(key="next step").click().run()
    for page in ("decode", "learn"):
        app.query_params.clear()  # as the links in the sidebar do
        app.switch_page(f"pages/{page}.py").run()
    assert [area.label for area in app.text_area] == ["who?"]
    assert app.selectbox(key="lesson").value == "own"
    # A new session knows only the address.
    later = open_page("learn", learn="lesson", lesson="own", part="2")
    assert messages(later)[0].startswith("Your own lesson is gone after the reload: drop its file")
    assert messages(later.run())
    later.selectbox(key="lesson").select("paper").run()
    later.run()
    assert not messages(later)
    assert later.text_area[0].label == plain(built_in().steps[0].exercises[0].question)
    later.file_uploader(key="lesson file").upload("w.md", two.encode(), "text/markdown").run()
    assert [area.label for area in later.text_area] == ["why?"]


def test_a_name_is_one_in_all_its_fields() -> None:
    app = open_page("learn", learn="lesson")
    app.text_input(key="your name").set_value("Ada").run()
    assert app.text_input(key="worksheet author").value == "Ada"
    app.text_input(key="worksheet author").set_value("Emmy").run()
    assert app.text_input(key="your name").value == "Emmy"
    app.text_input(key="your name").set_value("").run()
    assert app.text_input(key="worksheet author").value == ""

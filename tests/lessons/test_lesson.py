"""Lessons from text files, the bundled lesson, and worksheets."""

import html
from pathlib import Path

import pytest

from transformer.anatomy.boxes import boxes
from transformer.anatomy.without import can_be_left_out
from transformer.checkpoint import Checkpoint
from transformer.errors import RunError, UserError
from transformer.experiments.registry import EXPERIMENTS
from transformer.faults import FAULTS
from transformer.lessons.lesson import (
    BUILT_IN,
    MOST_BYTES,
    Exercise,
    Lesson,
    Step,
    decode_lesson,
    read_lesson,
    what_was_found,
)
from transformer.lessons.worksheet import worksheet
from transformer.report.document import DATA_ID
from transformer.report.reading import read_report

PAGES = ("", "train", "attention", "learn", "debug")
LIST = """# Week 3

Some words about the week.
- [Seven sentences](train?task=pairs&preset=overfit): What does it remember?
* [A <b>map</b>](https://class.example/attention?checkpoint=sort&input=a%20b) **Which** head?
- [The paper](https://arxiv.org/abs/1706.03762)
- [Home]( ) nothing
- [Elsewhere](secrets?x=1): a page that is not there
- [Trick](javascript:alert(1)): no
- a remark
2. [Numbered](learn): too
3. words
"""


def test_a_list_is_read_and_what_is_no_exercise_is_named() -> None:
    lesson, problems = read_lesson(LIST, PAGES, "class.example")
    [step] = lesson.steps
    assert (lesson.title, step.title, step.text) == (
        "Week 3",
        "",
        "Some words about the week.\n3. words",
    )
    assert step.exercises == (
        Exercise(
            "Seven sentences",
            "What does it remember?",
            "train?task=pairs&preset=overfit",
            "train",
        ),
        Exercise(
            "A <b>map</b>",
            "**Which** head?",
            "attention?checkpoint=sort&input=a%20b",
            "attention",
        ),
        Exercise("The paper", "", "https://arxiv.org/abs/1706.03762", None),
        Exercise("Numbered", "too", "learn", "learn"),
    )
    assert step.exercises[1].query == {"checkpoint": "sort", "input": "a b"}
    assert [sentence.split(" is ")[0] for sentence in problems] == [
        *("Line 7", "Line 8", "Line 9", "Line 10")
    ]
    assert "no page “secrets”; it has attention, debug, learn, train." in problems[1]
    # With another host, the link leads out of the app.
    [elsewhere] = read_lesson(LIST, PAGES, "other.example")[0].steps
    assert elsewhere.exercises[1].page is None


def test_headings_are_steps_and_code_is_left_as_it_is() -> None:
    text = (
        "# Title\nwords\n## One\n```\n# a comment\n- no entry\n```\n\n- [A](train)\n# Two\nmore\n"
    )
    lesson, problems = read_lesson(text, PAGES)
    assert not problems
    assert lesson == Lesson(
        "Title",
        (
            Step("", "words", ()),
            Step(
                "One", "```\n# a comment\n- no entry\n```", (Exercise("A", "", "train", "train"),)
            ),
            Step("Two", "more", ()),
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LIST, "4 exercises found, in 1 step."),
        ("# A\n## B\n- [C](train): why?\n## D\nwords", "1 exercise found, in 2 steps."),
        ("- [C](train): why?", "1 exercise found, without headings: a line that starts with ##"),
        ("1. Why is it so?", "No exercise was found, so there is nothing to answer"),
    ],
)
def test_who_wrote_a_file_reads_what_was_found_in_it(text: str, said: str) -> None:
    assert what_was_found(read_lesson(text, PAGES)[0]).startswith(said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x" * (MOST_BYTES + 1), "larger than 100 kB"),
        ("Übung".encode("latin-1"), "not text in UTF-8"),
        (b"PK\x03\x04\0\0", "not text"),
    ],
)
def test_a_file_that_is_no_lesson_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        decode_lesson(content, "week.md")


def test_every_link_of_the_lesson_that_comes_along_leads_somewhere() -> None:
    lesson, problems = read_lesson(BUILT_IN.read_text("utf-8"), PAGES)
    assert not problems
    assert len(lesson.steps) == 7
    assert all(step.title and step.text and step.exercises for step in lesson.steps)
    models: dict[str | None, Checkpoint] = {}
    for exercise in lesson.exercises:
        query = exercise.query
        assert exercise.question
        assert query.get("experiment", "leak") in EXPERIMENTS
        assert query.get("fault", "no-warmup") in FAULTS
        if name := query.get("checkpoint"):
            path = Path("checkpoints") / f"{name}.safetensors"
            models.setdefault(name, Checkpoint.load(path))
            models[name].encode(query["input"])
        if wanted := query.get("box"):
            [box] = [one for one in boxes(models[name].config) if one.id == wanted]
            if "ake it out" in exercise.question:
                assert can_be_left_out(models[name].model, box), wanted


def test_a_worksheet_has_lines_or_answers_and_is_read_like_a_report() -> None:
    lesson = read_lesson(LIST, PAGES, "class.example")[0]
    first, second, third, _ = lesson.exercises
    empty = worksheet(lesson, {}).decode()
    assert empty.count('<div class="lines"></div>') == 4 * 4
    said = "</script><b>it is</b>"
    page = worksheet(lesson, {first: said, second: "  "}, "Zoë", "https://class.example/x/learn")
    text = page.decode()
    assert text.count('<div class="lines"></div>') == 3 * 4
    assert html.escape(said) in text
    assert "<b>" not in text
    assert f'<a href="https://class.example/x/{html.escape(first.link)}">' in text
    assert '<a href="https://arxiv.org/abs/1706.03762">' in text
    assert "<a" not in empty.replace('<a href="https://arxiv', "")
    assert text.count(f'id="{DATA_ID}"') == 1
    found = read_report(page, "zoe.html")
    assert (found.title, found.author, found.sentences) == ("Week 3", "Zoë", said)
    assert found.verdict == "1 of 4 questions answered"
    assert found.steps is found.seed is found.exact_match is None
    assert third.title in text


def test_a_worksheet_whose_answers_are_no_text_is_refused() -> None:
    lesson = read_lesson(LIST, PAGES)[0]
    page = worksheet(lesson, {lesson.exercises[0]: "seven"})
    with pytest.raises(RunError, match="damaged"):
        read_report(page.replace(b'"answer": "seven"', b'"answer": 7'), "zoe.html")

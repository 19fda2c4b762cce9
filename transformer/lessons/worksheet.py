"""A lesson as one HTML file to print or to hand in: its questions and a user's answers."""

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from transformer.lessons.lesson import Exercise, Lesson, Step
from transformer.report.document import by_and_when, document, handed_in, text

LINES_TO_WRITE_ON = '<div class="lines"></div>' * 4


def worksheet(
    lesson: Lesson, answers: Mapping[Exercise, str], author: str = "", url: str = ""
) -> bytes:
    """The HTML file. Unanswered questions get lines to write on.

    Args:
        answers: by exercise; a missing or empty one counts as unanswered.
        url: of a page of the app, which relative links resolve to; empty if it is not known.
    """
    said = {one: answers.get(one, "").strip() for one in lesson.exercises}
    answered = [(one.question or one.title, answer) for one, answer in said.items() if answer]
    verdict = f"{len(answered)} of {len(said)} questions answered"
    carried = handed_in("worksheet", lesson.title, author, verdict, answered)
    about = by_and_when(carried) if answered else author
    body = "".join(_step(step, said, url) for step in lesson.steps)
    return document(lesson.title, about, body, carried)


def _step(step: Step, said: Mapping[Exercise, str], url: str) -> str:
    title = f"<h2>{text(step.title)}</h2>" if step.title else ""
    words = "".join(f"<p>{text(part)}</p>" for part in step.text.split("\n\n") if part)
    return title + words + "".join(_exercise(one, said[one], url) for one in step.exercises)


def _exercise(exercise: Exercise, answer: str, url: str) -> str:
    written = f"<blockquote>{text(answer)}</blockquote>" if answer else LINES_TO_WRITE_ON
    link = exercise.link if exercise.page is None else urljoin(url, exercise.link)
    shown = text(link)
    if urlsplit(link).scheme in ("http", "https"):
        shown = f'<a href="{shown}">{shown}</a>'
    return (
        f"<h3>{text(exercise.title)}</h3><p>{text(exercise.question)}</p>"
        f'<p class="about">{shown}</p>{written}'
    )

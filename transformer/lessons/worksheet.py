"""A lesson as one HTML file to print or to hand in: its questions, and what a person answered."""

import time
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from transformer.lessons.lesson import Exercise, Lesson, Step
from transformer.report.document import FORMAT, VERSION, document, text

LINES_TO_WRITE_ON = '<div class="lines"></div>' * 4


def worksheet(
    lesson: Lesson, answers: Mapping[Exercise, str], author: str = "", url: str = ""
) -> bytes:
    """The file. Where nothing is answered it has lines to write on.

    Args:
        answers: by exercise; those that are missing or empty count as open.
        url: of a page of the app, so that links lead there; empty if it is not known.
    """
    said = {one: answers.get(one, "").strip() for one in lesson.exercises}
    now = time.gmtime()
    made, when = time.strftime("%Y-%m-%dT%H:%M:%SZ", now), time.strftime("%Y-%m-%d %H:%M UTC", now)
    answered = [(one, answer) for one, answer in said.items() if answer]
    return document(
        lesson.title,
        " · ".join(part for part in (author, when if answered else "") if part),
        "".join(_step(step, said, url) for step in lesson.steps),
        {
            "format": FORMAT,
            "version": VERSION,
            "kind": "worksheet",
            "title": lesson.title,
            "author": author,
            "made": made,
            "verdict": {"sentence": f"{len(answered)} of {len(said)} questions answered"},
            "sentences": [
                {"question": one.question or one.title, "answer": answer}
                for one, answer in answered
            ],
        },
    )


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

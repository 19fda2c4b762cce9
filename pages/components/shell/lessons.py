"""The lessons: the teacher's, and the one that ships with the app.

The teacher's is a Markdown file beside the app, or the file that WORKBENCH_EXERCISES names.
"""

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st

from pages.components.shell.sidebar import PAGES
from transformer.errors import UserError
from transformer.lessons.lesson import (
    BUILT_IN,
    MOST_BYTES,
    Exercise,
    Lesson,
    decode_lesson,
    read_lesson,
)

VARIABLE, FILE = "WORKBENCH_EXERCISES", "exercises.md"
PATHS = {Path(path).stem.replace("app", ""): path for path, _, _ in PAGES}
"""Name of a page in an address -> its file."""
ASKED = "asked"
"""Query parameter of a view that an exercise opened: the exercise's name, see :func:`name_of`."""
MOST_TRIED = 500
_tried: dict[str, Exercise] = {}
"""Exercises of lesson files that users uploaded to try them. Kept for all sessions, because their
links open in a new tab, which is another session."""


@dataclass(frozen=True)
class Asked:
    """An exercise, and its lesson and step.

    lesson: its name in the address, "" for a file uploaded in another tab. step: from 1.
    """

    exercise: Exercise
    lesson: str
    step: int


def class_lesson() -> tuple[Lesson | None, list[str]]:
    """The teacher's lesson, read anew at each call, and the problems of its file.

    The lesson is None if the file has no exercise.
    """
    path = Path(os.environ.get(VARIABLE) or FILE)
    try:
        with path.open("rb") as file:
            lesson, problems = from_file(file.read(MOST_BYTES + 1), path.name)
    except FileNotFoundError:
        named = VARIABLE in os.environ
        return None, [f"There is no file {path}, which {VARIABLE} names."] if named else []
    except OSError as error:
        return None, [f"The exercises in {path.name} cannot be read: {error.strerror}."]
    except UserError as error:
        return None, [str(error)]
    return lesson if lesson.exercises else None, [f"{path.name}: {one}" for one in problems]


def from_file(content: bytes, name: str) -> tuple[Lesson, list[str]]:
    """The lesson in a file's content, and a sentence for each faulty line.

    Raises:
        UserError: the content is not text of at most 100 kB.
    """
    host = urlsplit(st.context.url or "").netloc
    return read_lesson(decode_lesson(content, name), PATHS, host)


@cache
def built_in() -> Lesson:
    """The lesson of seven steps that ships with the app."""
    return read_lesson(BUILT_IN.read_text("utf-8"), PATHS)[0]


def name_of(exercise: Exercise) -> str:
    """The exercise's name in the address of the view that it opens: a hash."""
    said = f"{exercise.title}\0{exercise.question}"
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12]


def link_of(exercise: Exercise) -> str:
    """An exercise's link. A link into the app names the exercise, so that its page shows the
    question."""
    if exercise.page is None:
        return exercise.link
    return f"./{exercise.link}{'&' if '?' in exercise.link else '?'}{ASKED}={name_of(exercise)}"


def try_lesson(lesson: Lesson) -> None:
    """Remember the exercises of an uploaded lesson; beyond MOST_TRIED, drop the oldest."""
    _tried.update({name_of(one): one for one in lesson.exercises})
    for name in list(_tried)[:-MOST_TRIED]:
        _tried.pop(name, None)


def find_asked(name: str) -> Asked | None:
    """The exercise of that name; None if no lesson has it (any longer)."""
    of_class, _ = class_lesson()
    for lesson_name, lesson in (("class", of_class), ("paper", built_in())):
        for number, step in enumerate(lesson.steps if lesson else (), 1):
            for exercise in step.exercises:
                if name_of(exercise) == name:
                    return Asked(exercise, lesson_name, number)
    return Asked(_tried[name], "", 1) if name in _tried else None

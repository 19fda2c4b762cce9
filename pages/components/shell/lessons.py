"""Which lessons there are: the class's, and the one that comes with the app.

The class's stands in a Markdown file beside the app, or where WORKBENCH_EXERCISES says.
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
"""The name of a page in an address -> its file."""
ASKED = "asked"
"""In the address of a view that an exercise has opened: which one."""
MOST_TRIED = 500
_tried: dict[str, Exercise] = {}
"""Exercises of files that were dropped on the page. What their links open, in a tab of its own, is
another session."""


@dataclass(frozen=True)
class Asked:
    """An exercise, and where it stands.

    lesson: its name in the address, "" for a file that was dropped in another tab. step: from 1.
    """

    exercise: Exercise
    lesson: str
    step: int


def class_lesson() -> tuple[Lesson | None, list[str]]:
    """The teacher's, read at each look, and what is wrong with its file; None: no exercise."""
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
    """A lesson that somebody wrote, and a sentence for each line of it that is wrong.

    Raises:
        UserError: it is not a text file of at most 100 kB.
    """
    host = urlsplit(st.context.url or "").netloc
    return read_lesson(decode_lesson(content, name), PATHS, host)


@cache
def built_in() -> Lesson:
    """The seven steps that come along."""
    return read_lesson(BUILT_IN.read_text("utf-8"), PATHS)[0]


def name_of(exercise: Exercise) -> str:
    """What an exercise is called in the address of the view that it opens."""
    said = f"{exercise.title}\0{exercise.question}"
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12]


def link_of(exercise: Exercise) -> str:
    """Its link; one into the app says which exercise it is, so that its page shows the question."""
    if exercise.page is None:
        return exercise.link
    return f"./{exercise.link}{'&' if '?' in exercise.link else '?'}{ASKED}={name_of(exercise)}"


def try_lesson(lesson: Lesson) -> None:
    """Remember the exercises of a file that was dropped; the oldest make way."""
    _tried.update({name_of(one): one for one in lesson.exercises})
    for name in list(_tried)[:-MOST_TRIED]:
        _tried.pop(name, None)


def find_asked(name: str) -> Asked | None:
    """The exercise of that name; None if it is in no lesson, or no longer."""
    of_class, _ = class_lesson()
    for lesson_name, lesson in (("class", of_class), ("paper", built_in())):
        for number, step in enumerate(lesson.steps if lesson else (), 1):
            for exercise in step.exercises:
                if name_of(exercise) == name:
                    return Asked(exercise, lesson_name, number)
    return Asked(_tried[name], "", 1) if name in _tried else None

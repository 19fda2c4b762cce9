"""Which lessons there are: the class's, and the one that comes with the app.

The class's stands in a Markdown file beside the app, or where WORKBENCH_EXERCISES says.
"""

import os
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st

from pages.components.shell.sidebar import PAGES
from transformer.errors import UserError
from transformer.lessons.lesson import BUILT_IN, MOST_BYTES, Lesson, decode_lesson, read_lesson

VARIABLE, FILE = "WORKBENCH_EXERCISES", "exercises.md"
PATHS = {Path(path).stem.replace("app", ""): path for path, _, _ in PAGES}
"""The name of a page in an address -> its file."""


def class_lesson() -> tuple[Lesson | None, list[str]]:
    """The teacher's, read anew at each look, and what is wrong with its file; None: no exercise."""
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

"""A teacher's exercises, first on the Overview: each a link into the app, and a question.

They stand in a Markdown list beside the app, or where WORKBENCH_EXERCISES says:

    - [Seven sentences](train?task=pairs&preset=overfit): What does it remember, and what not?
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import streamlit as st

from pages.components.shell.sidebar import PAGES
from pages.components.shell.text import plain

VARIABLE, FILE = "WORKBENCH_EXERCISES", "exercises.md"
MOST_BYTES, MOST_SHOWN = 100_000, 5
LINE = re.compile(
    r"[-*+]\s+\[(?P<title>[^\]]+)\]\((?P<link>[^()\s]*)\)\s*[:.–-]?\s*(?P<question>.*)"
)
PATHS = {Path(path).stem.replace("app", ""): path for path, _, _ in PAGES}
"""The name of a page in an address -> its file."""


@dataclass(frozen=True)
class Exercise:
    """One line of the list. page: a file of the app, or the whole address of another site."""

    title: str
    question: str
    page: str
    query: tuple[tuple[str, str], ...] = ()


def read_exercises(text: str, host: str = "") -> tuple[list[Exercise], list[str]]:
    """The exercises of a list, and a sentence for each line of it that is none.

    Only what begins as an entry of a list is looked at: headings and other text may stand around.

    Args:
        host: of the app, so that a link copied from the browser stays inside it.
    """
    found, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith(("- ", "* ", "+ ")):
            continue
        parts = LINE.fullmatch(line.strip())
        page, query = (None, "") if parts is None else _target(parts["link"], host)
        if parts is None or page is None:
            problems.append(
                f"Line {number} is no exercise. Write “- [Title](train?task=sort): Question”, with "
                "a link to a page of this app or a whole address."
            )
            continue
        pairs = tuple(parse_qsl(query))
        found.append(Exercise(parts["title"].strip(), parts["question"].strip(), page, pairs))
    return found, problems


def _target(link: str, host: str) -> tuple[str | None, str]:
    """The page and its query; no page if the link leads nowhere."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return None, ""
    if parts.netloc and parts.netloc != host:
        return (link if parts.scheme in ("http", "https") else None), ""
    if parts.scheme not in ("", "http", "https"):
        return None, ""
    name = parts.path.strip("/").rpartition("/")[2] if parts.netloc else parts.path.strip("/")
    return PATHS.get(name), parts.query


def exercises() -> None:
    """Draw the list, if there is one."""
    path = Path(os.environ.get(VARIABLE) or FILE)
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES).decode("utf-8-sig", "replace")
    except FileNotFoundError:
        if VARIABLE in os.environ:
            st.warning(plain(f"There is no file {path}, which {VARIABLE} names."))
        return
    except OSError as error:
        st.warning(plain(f"The exercises in {path.name} cannot be read: {error.strerror}."))
        return
    found, problems = read_exercises(text, urlsplit(st.context.url or "").netloc)
    for sentence in problems[:3]:
        st.warning(plain(f"{path.name}: {sentence}"))
    if not found:
        return
    with st.container(key="exercises", gap="xxsmall"):
        st.markdown("**Exercises**")
        for exercise in found[:MOST_SHOWN]:
            _draw(exercise)
        if rest := found[MOST_SHOWN:]:
            with st.expander(f"{len(rest)} more"):
                for exercise in rest:
                    _draw(exercise)


def _draw(exercise: Exercise) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link(
            exercise.page,
            label=plain(exercise.title),
            icon=":material/assignment:",
            query_params=dict(exercise.query) or None,
            width="content",
        )
        if exercise.question:
            st.markdown(plain(exercise.question), width="content")

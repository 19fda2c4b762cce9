"""A teacher's exercises at the top of the Overview: each is a link and a question."""

import streamlit as st

from pages.components.shell.lessons import ASKED, PATHS, class_lesson, name_of
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain
from transformer.lessons.lesson import Exercise

MOST_SHOWN = 5


def exercises() -> None:
    """Draw the list, if there is one."""
    lesson, problems = class_lesson()
    for sentence in problems[:3]:
        st.warning(plain(sentence))
    if lesson is None:
        return
    found = lesson.exercises
    with st.container(key="exercises", gap="xxsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Exercises**", width="content")
            words = "With the words around them, and places for answers"
            link_to("Learn", words, {"learn": "lesson", "lesson": "class"})
        for exercise in found[:MOST_SHOWN]:
            _draw(exercise)
        if rest := found[MOST_SHOWN:]:
            with st.expander(f"{len(rest)} more"):
                for exercise in rest:
                    _draw(exercise)


def _draw(exercise: Exercise) -> None:
    inside = exercise.page is not None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link(
            PATHS[exercise.page] if exercise.page is not None else exercise.link,
            label=plain(exercise.title),
            icon=":material/assignment:",
            query_params={**exercise.query, ASKED: name_of(exercise)} if inside else None,
        )
        if exercise.question:
            st.markdown(plain(exercise.question), width="content")

"""The question of the exercise that opened this tab, at the top of its pages."""

import streamlit as st

from pages.components.shell.lessons import ASKED, find_asked
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain

ASKED_KEY = "kept asked"
"""Key in session state: the exercise's name, so that all pages of the tab show its question until
the user closes it."""


def banner() -> None:
    """Draw title and question in one line, with a link back to the lesson and a close button."""
    name: str = st.query_params.get(ASKED) or st.session_state.get(ASKED_KEY, "")
    # The lesson shows the question itself.
    found = find_asked(name) if name and st.query_params.get("learn") != "lesson" else None
    if found is None:
        st.session_state.pop(ASKED_KEY, None)
        return
    st.session_state[ASKED_KEY] = name
    exercise = found.exercise
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="asked"):
        st.markdown(f"**{plain(exercise.title)}.** {plain(exercise.question)}", width="stretch")
        if found.lesson:
            query = {"learn": "lesson", "lesson": found.lesson, "part": str(found.step)}
            link_to("Learn", "Back to the lesson", query)
        st.button("Close", key="close asked", type="tertiary", on_click=_close)


def _close() -> None:
    st.session_state.pop(ASKED_KEY, None)
    st.query_params.pop(ASKED, None)

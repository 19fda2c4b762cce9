"""The banner of an exercise: its question, at the top of the pages of the tab that it opened."""

import streamlit as st

from pages.components.shell.lessons import ASKED, find_asked
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain

KEPT = "kept asked"
"""In session state: the question goes along to the tab's other pages, until it is closed."""


def banner() -> None:
    """Title and question in a slim line, the way back to the lesson, and one to close it."""
    name: str = st.query_params.get(ASKED) or st.session_state.get(KEPT, "")
    # The lesson itself has the question.
    found = find_asked(name) if name and st.query_params.get("learn") != "lesson" else None
    if found is None:
        st.session_state.pop(KEPT, None)
        return
    st.session_state[KEPT] = name
    exercise = found.exercise
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="asked"):
        st.markdown(f"**{plain(exercise.title)}.** {plain(exercise.question)}", width="stretch")
        if found.lesson:
            query = {"learn": "lesson", "lesson": found.lesson, "part": str(found.step)}
            link_to("Learn", "Back to the lesson", query)
        st.button("Close", key="close asked", type="tertiary", on_click=_close)


def _close() -> None:
    st.session_state.pop(KEPT, None)
    st.query_params.pop(ASKED, None)

"""The Overview page, and the app's entry: ``streamlit run app.py``."""

import streamlit as st

from pages.components.overview.answer import SHOWN, answer, next_steps, open_box, word
from pages.components.overview.exercises import exercises
from pages.components.overview.recent import recent_runs
from pages.components.shell import current, session, tour
from pages.components.shell.frame import errors_shown, frame


@st.fragment(run_every=0.2)
def wait_for_torch() -> None:
    if session.torch_is_ready():
        st.rerun()


def live_answer() -> None:
    """Draw the current model's answer; until torch is imported, a note in its place."""
    with errors_shown():
        with st.container(horizontal=True, vertical_alignment="bottom"):
            asked = word()
            tour.start_button()
        with st.container(key="live-answer"):
            if asked is None:
                return
            if session.torch_is_ready():
                answer(*asked)
            else:
                st.markdown("The answer is about to come: PyTorch loads, about 3 s…")
                wait_for_torch()


current.set_default_model(SHOWN)
open_box()
with frame(
    "Transformer Workbench",
    "The Transformer of *Attention Is All You Need*, built by hand: type, train, look inside.",
):
    exercises()
    live_answer()
    next_steps()
    recent_runs()

"""The one-minute tour: five things to do on the pages themselves."""

from dataclasses import dataclass, field

import streamlit as st

from pages.components.shell import current

STEP = "tour step"
"""Key in session state: the tour's current step, from 1; absent outside the tour."""
BEGINS_WITH = "pronunciation"
ANY_NAME = "maria"
"""Input for a model of lower-case letters, if the name that the user typed has other characters."""


@dataclass(frozen=True)
class Step:
    """One thing to do.

    page: its title. path: its file. query: its parameters; with a model, the typed name is added.
    """

    page: str
    path: str
    todo: str
    query: dict[str, str] = field(default_factory=dict)


STEPS = (
    Step("Overview", "app.py", "Type a name, such as Anna, into the field and press Enter."),
    Step(
        "Overview",
        "app.py",
        "Point at a sound of the answer, or move to it with Tab: the letters it looked at light "
        "up.",
    ),
    Step(
        "Attention",
        "pages/attention.py",
        "This head of a model that reverses letters reads them from the last to the first. Press "
        "*Switch this head off*, and read the answer: without it, most answers are wrong.",
        {"checkpoint": "reverse", "head": "cross.0.0"},
    ),
    Step(
        "Train",
        "pages/train.py",
        "Choose *Seven sentences in seconds* and train: the loss falls to almost nothing.",
        {"task": "reverse"},
    ),
    Step(
        "Train",
        "pages/train.py",
        "When it is trained, drag the *Time slider* below the curves from left to right: what it "
        "writes turns from noise into the sentence. Next you might train *Reverse letters*: "
        "there a head forms a pattern before your eyes.",
    ),
)


def start_button() -> None:
    """Draw the button that starts the tour, on the Overview."""
    if STEP not in st.session_state and st.button(
        "Start the one-minute tour", type="primary", icon=":material/explore:", key="start tour"
    ):
        current.set_model(BEGINS_WITH)
        st.session_state[STEP] = 1
        st.rerun()


def strip(page: str) -> None:
    """At the top of every page during the tour: what to do, and buttons to go on and to leave."""
    number: int = st.session_state.get(STEP, 0)
    if not number:
        return
    step = STEPS[number - 1]
    with st.container(horizontal=True, vertical_alignment="center", key="tour"):
        there = step.page == page
        todo = step.todo if there else f"It continues on the page {step.page}."
        st.markdown(f"**Tour, {number} of {len(STEPS)}.** {todo}", width="stretch")
        if not there and st.button("Go there", type="primary", key="tour there"):
            _open(step)
        if there and number < len(STEPS) and st.button("Next", type="primary", key="tour next"):
            st.session_state[STEP] = number + 1
            _open(STEPS[number], page)
        last = there and number == len(STEPS)
        if st.button("Finish the tour" if last else "Leave the tour", key="tour leave"):
            st.session_state.pop(STEP)
            st.rerun()


def _open(step: Step, page: str = "") -> None:
    """Open a step's page; if it is the open page already, only redraw it."""
    if step.page == page:
        st.rerun()
    name = current.text()
    suits = name.isascii() and name.isalpha() and name.islower() and 3 <= len(name) <= 12
    carried = {"input": name if suits else ANY_NAME} if "checkpoint" in step.query else {}
    st.switch_page(step.path, query_params={**step.query, **carried})

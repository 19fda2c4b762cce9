"""The current model and input of a browser session: every page opens on them.

A model is named as in the address: ``reverse``, ``run-ab12-1500``, ``upload-9f...``; ``run-ab12``
means the newest snapshot of that run. Training, uploading a file and choosing set it; a link that
names another model takes precedence. A new tab starts with the browser's last model and input.
"""

from collections import OrderedDict
from dataclasses import dataclass

import streamlit as st

from pages.components.shell import address, browser, models
from pages.components.shell.text import plain
from transformer.runs.directory import ACTIVE

MODEL, INPUT = "current model", "current input"
INPUT_FOR = "current input is for"
"""Key in session state: the model that the input was given to."""
OPENED = "opened for the run"
"""Key in session state: the snapshot that a page opened for a run; the run stays the current model
until another is chosen."""
MOST_BROWSERS = 1000
LOOK_SECONDS = 1.0


def model() -> str:
    """The name of the current model; empty until one was trained, uploaded or chosen."""
    name: str = st.session_state.get(MODEL, "")
    return name


def text() -> str:
    """The current input; empty if there is none for the current model."""
    if st.session_state.get(INPUT_FOR) != model():
        return ""
    given: str = st.session_state.get(INPUT, "")
    return given


def query() -> dict[str, str]:
    """The query parameters of links to pages: the current model and input."""
    given = text()
    found = {"checkpoint": model()} if model() else {}
    return found | ({"input": given} if given and len(given) <= address.LIMIT else {})


def set_default_model(name: str) -> None:
    """Make a model current if none is yet."""
    restore()
    if not model():
        st.session_state[MODEL] = name


def set_model(name: str) -> None:
    """Make a model the current one; a page that shows a model shows it, too."""
    st.session_state[MODEL] = name
    if "checkpoint" in st.session_state:
        st.session_state["checkpoint"] = name


def set_run(run_id: str) -> None:
    """Make a run current: a page opens on the newest snapshot it has by then."""
    st.session_state[MODEL] = f"run-{run_id}"


def follow_shown_model(name: str) -> None:
    """Make the model that a page shows current, unless it is a snapshot of the current run that was
    opened for the run, not chosen by the user."""
    run = models.run_of(name)
    if run is not None and model() == f"run-{run[0].id}":
        newest = models.find(model())
        if name == st.session_state.get(OPENED) or (newest is not None and newest.id == name):
            return
    st.session_state[MODEL] = name


def set_input(text: str) -> None:
    """Remember the input that a page shows for the current model."""
    st.session_state[INPUT], st.session_state[INPUT_FOR] = text, model()


def open_run() -> bool:
    """Replace a run's name in the field of models by its newest snapshot.

    Returns:
        False if the run has no snapshot; a note then says so.
    """
    name = str(st.session_state["checkpoint"] or "")
    run = models.run_of(name)
    if run is None or name != f"run-{run[0].id}":
        return True
    st.session_state[MODEL] = name
    newest = models.find(name)
    st.session_state["checkpoint"] = st.session_state[OPENED] = newest.id if newest else None
    if newest is None:
        _wait(name, run[1].title, run[1].state)
    return newest is not None


def _wait(name: str, title: str, state: str) -> None:
    if state not in ("queued", *ACTIVE):
        st.info(f"The run {plain(title)} has saved no model. Train it again, or choose another.")
        return
    st.info(f"The run {plain(title)} has saved no model yet; it opens here after the first save.")

    @st.fragment(run_every=LOOK_SECONDS)
    def look() -> None:
        if models.find(name) is not None:
            set_model(name)
            st.rerun()

    look()


# --- beyond a session ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Last:
    model: str
    text: str
    belongs_to: str


@st.cache_resource
def _browsers() -> OrderedDict[str, _Last]:
    """Each browser's last model and input, by the hash of its token."""
    return OrderedDict()


def restore() -> None:
    """At the top of a page: a new session gets its browser's last model and input, and a model that
    no longer exists is dropped."""
    state = st.session_state
    if MODEL not in state:
        last = _browsers().get(browser.owner(), _Last("", "", ""))
        state[MODEL] = last.model
        # A link states the input, too, unless the input is too long for an address.
        if "checkpoint" not in st.query_params or len(last.text) > address.LIMIT:
            state["kept input"], state["input belongs to"] = last.text, last.belongs_to
            state[INPUT], state[INPUT_FOR] = last.text, last.model
    if model() and models.find(model()) is None and models.run_of(model()) is None:
        state[MODEL] = ""


def remember() -> None:
    """At the end of a page: store model and input for the browser's future tabs."""
    if not model():
        return
    known, owner = _browsers(), browser.owner()
    belongs = st.session_state.get("input belongs to") or ""
    known[owner] = _Last(model(), text(), belongs if text() else "")
    known.move_to_end(owner)
    while len(known) > MOST_BROWSERS:
        known.popitem(last=False)

"""The state of the anatomy's map, in the address: box, decoding step, and whether it is absent."""

from collections.abc import Sequence

import streamlit as st

from pages.components.shell import address
from pages.components.shell.address import Message, Place
from transformer.anatomy.boxes import Box

FIELDS = ("box", "anatomy step", "absent")
MAP = "anatomy map"
PLACE = Place("anatomy place", MAP, {"box": "box", "step": "anatomy step"})


def read(belongs_to: object, every: Sequence[Box], steps: int) -> None:
    """Before everything else: read the address; for another input, start at the first step.

    Args:
        belongs_to: identifies the model and the input.
        every: the model's boxes. steps: the number of tokens that it writes.
    """
    before = st.session_state.get("anatomy belongs to", belongs_to)
    if before != belongs_to and not address.followed():
        st.session_state["anatomy step"] = st.session_state["kept anatomy step"] = ""
    st.session_state["anatomy belongs to"] = belongs_to
    for key in FIELDS:
        address.read(key, "")
    if st.session_state["box"] not in [box.id for box in every]:
        # Another model may have fewer layers: the same box in its last one, else the first of all.
        st.session_state["box"] = _nearest(st.session_state["box"], every)
    text = st.session_state["anatomy step"]
    step = int(text) if text.isdecimal() and len(text) < 6 else 1
    st.session_state["anatomy step"] = str(min(max(step, 1), steps))


def _nearest(wanted: str, every: Sequence[Box]) -> str:
    stack, _, rest = wanted.partition(".")
    found = [box.id for box in every if box.id.startswith(f"{stack}.")]
    same = [name for name in found if name.split(".")[2:] == rest.split(".")[1:]]
    return (same or [every[0].id])[-1]


def box(every: Sequence[Box]) -> Box:
    """The box that is shown."""
    return next(one for one in every if one.id == st.session_state["box"])


def step() -> int:
    """The position that is being written, from 0."""
    return int(st.session_state["anatomy step"]) - 1


def message() -> Message:
    """The message to the map."""
    return PLACE.message()


def remember() -> None:
    """The map's callback: store its new state."""
    PLACE.store(st.session_state[MAP]["place"])
    # Only the previous box was taken out; the next one is shown in its place.
    address.receive("absent", "")


def write() -> None:
    """After the map: write its state into the address."""
    for key in FIELDS:
        address.write(key, st.session_state[key])

"""What if this box were missing: a switch, and the output without it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shell.text import verbatim
from transformer.anatomy.boxes import Box

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

SWITCH = "take out the box"


def panel(checkpoint: "Checkpoint", text: str, box: Box, written: Sequence[int], step: int) -> None:
    """Draw the switch, ``absent`` in the address, and both outputs."""
    from transformer.anatomy.without import can_be_left_out

    about = box.about
    with st.container(border=True, key="taken-out"):
        st.markdown("**What if it were not there?**")
        if not can_be_left_out(checkpoint.model, box):
            st.session_state["absent"] = ""
            st.markdown(f"{about.absent[0].upper()}{about.absent[1:]}.")
            return
        st.session_state[SWITCH] = bool(st.session_state["absent"])
        taken = st.toggle("Take it out, for this input", key=SWITCH, on_change=_remember)
        if taken:
            _compare(checkpoint, text, box, written, step)


def is_absent(checkpoint: "Checkpoint", box: Box) -> bool:
    """Whether the box is taken out now."""
    from transformer.anatomy.without import can_be_left_out

    return bool(st.session_state["absent"]) and can_be_left_out(checkpoint.model, box)


def _remember() -> None:
    st.session_state["absent"] = "yes" if st.session_state[SWITCH] else ""


def _compare(
    checkpoint: "Checkpoint", text: str, box: Box, written: Sequence[int], step: int
) -> None:
    from transformer.anatomy.without import decode_without

    with st.spinner("The model writes without it…"):
        found = decode_without(checkpoint.model, checkpoint.encode(text), box, written, step)
    vocabulary = checkpoint.target_vocabulary
    before, after = vocabulary.decode(written), vocabulary.decode(found.tokens)
    absent = box.about.absent
    st.markdown(f"{absent[0].upper()}{absent[1:]}.")
    if found.changed is None:
        st.markdown(f"It writes the same: {verbatim(after)}.")
    else:
        st.markdown(
            f"It writes {verbatim(after)} instead of {verbatim(before)}: they differ from "
            f"token {found.changed + 1} on."
        )
    ended = found.tokens[-1:] == (checkpoint.config.eos_id,)
    said = [] if ended else ["The output has no end, so it was cut."]
    if box.part != "next":
        said.append("The model was trained with this box; one trained without it may find a way.")
    st.caption(" ".join(said))

"""What the Decode page shows, as its panels get it, and how a panel changes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.config import SamplingConfig


@dataclass(frozen=True)
class View:
    """One input, one path through its decoding, one step of it.

    text: the input that the user typed.
    prefix: ids that the user chose; the model continued after them.
    written: ids of the whole output, the prefix included, with <eos> if it ended.
    step: the position shown, from 0.
    sampling: how the model continued after the prefix; None means greedily.
    wanted: ids of the true target with <eos>; empty if it is not known.
    """

    checkpoint: "Checkpoint"
    text: str
    prefix: tuple[int, ...]
    written: tuple[int, ...]
    step: int
    sampling: "SamplingConfig | None" = None
    wanted: tuple[int, ...] = ()


def open_at(text: str, prefix: Sequence[int] = (), step: int = 0) -> None:
    """In a callback: make the page show another input, greedy path or step."""
    # Without this, the page would take the new state for that of the previous input and reset it.
    owner, before = st.session_state.get("path belongs to", (None, text))
    if owner is not None and before != text:
        st.session_state["path belongs to"] = (owner, text)
        for field in ("target", "beside", "branches"):
            st.session_state[field] = ""
    st.session_state["input"] = text
    st.session_state["seed"] = ""
    st.session_state["prefix"] = ".".join(map(str, prefix))
    st.session_state["step"] = str(step + 1)

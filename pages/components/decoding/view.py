"""What the Decode page shows at the moment, as its panels take it, and how a panel moves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


@dataclass(frozen=True)
class View:
    """One input, one road through its decoding, one step of it.

    text: what the person typed.
    prefix: ids that the person chose; the model went on after them.
    written: ids of the whole output, the prefix included, with <eos> where it ended.
    step: the position shown, from 0.
    wanted: ids of the true target with <eos>; empty where it is not known.
    """

    checkpoint: "Checkpoint"
    text: str
    prefix: tuple[int, ...]
    written: tuple[int, ...]
    step: int
    wanted: tuple[int, ...] = ()


def open_at(text: str, prefix: Sequence[int] = (), step: int = 0) -> None:
    """In a callback: have the page show another input, road or step."""
    st.session_state["input"] = text
    st.session_state["prefix"] = ".".join(map(str, prefix))
    st.session_state["step"] = str(step + 1)

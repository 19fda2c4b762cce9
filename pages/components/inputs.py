"""The text a person gives a model, with examples to choose from."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components import address, session
from pages.components.text import plain

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

MAX_CHARACTERS = 10_000


def checkpoint_and_text() -> "tuple[Checkpoint, str] | None":
    """The two fields that Attention and Decode start with; None while no checkpoint is chosen.

    Raises:
        CheckpointError: the chosen file is damaged or gone.
    """
    left, right = st.columns(2)
    with left:
        entry = session.choose_checkpoint()
    if entry is None:
        return None
    checkpoint = session.load(entry)
    with right:
        text = source_text(checkpoint)
    example_buttons(checkpoint)
    return checkpoint, text


def source_text(checkpoint: "Checkpoint") -> str:
    """The input field, and below it a few held-out examples that fill it."""
    examples = [example.source for example in checkpoint.header.examples]
    # A text for one checkpoint is rarely one for another: start from its own example.
    owner = checkpoint.header.sha256
    if st.session_state.get("input belongs to") not in (None, owner):
        st.session_state["input"] = examples[0] if examples else ""
    st.session_state["input belongs to"] = owner
    address.read("input", examples[0] if examples else "")
    text = st.text_input("Input", key="input", max_chars=MAX_CHARACTERS)
    address.write("input", text)
    return text


def example_buttons(checkpoint: "Checkpoint") -> None:
    """Held-out examples as buttons; a click puts one into the input field."""
    examples = [example.source for example in checkpoint.header.examples[:5]]

    def fill(text: str) -> None:
        st.session_state["input"] = text

    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption("Try:", width="content")
        for number, text in enumerate(examples):
            label = text if len(text) <= 24 else text[:23] + "…"
            st.button(
                plain(label), key=f"example {number}", on_click=fill, args=(text,), type="tertiary"
            )

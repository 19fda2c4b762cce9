"""Step through decoding: each token's probabilities, what it looked at, other roads."""

import math
from typing import TYPE_CHECKING

import streamlit as st

from pages.components import address, inputs
from pages.components.decoding import batch, errors
from pages.components.decoding.view import View
from pages.components.decoding_steps import decoding_steps
from pages.components.frame import errors_shown, frame
from pages.components.inspection import decode_steps, shown
from pages.components.text import verbatim

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


PANELS = {"errors": ("Errors", errors.panel), "batch": ("Many inputs", batch.panel)}
"""Name in the address -> its title, and what draws it."""


def forced_prefix(checkpoint: "Checkpoint") -> list[int]:
    """The tokens a person chose, as the address names them: ids joined by dots."""
    address.read("prefix", "")
    words = [word for word in st.session_state["prefix"].split(".") if word]
    size, longest = checkpoint.config.target_vocab_size, checkpoint.config.max_length
    if len(words) > longest or not all(
        w.isdecimal() and len(w) < 8 and int(w) < size for w in words
    ):
        st.warning("The address names tokens that this model does not have; decoding starts anew.")
        st.session_state["prefix"] = ""
        return []
    return [int(word) for word in words]


def remember_step() -> None:
    address.report("step", str(st.session_state["decoding"]["step"] + 1))


def take_choice() -> None:
    """Keep what was written before the step, put the chosen token there, decode on."""
    choice = st.session_state["decoding"]["choice"]
    if choice is not None:
        position, token = choice
        before = st.session_state["written"][:position]
        st.session_state["prefix"] = ".".join(map(str, [*before, token]))
        st.session_state["step"] = str(position + 1)


def start_over() -> None:
    st.session_state["prefix"] = ""


with frame("Decode", "Walk through the output token by token, and try the roads not taken."):
    chosen = inputs.checkpoint_and_text()
    if chosen is not None:
        checkpoint, text = chosen
        source = checkpoint.encode(text)
        # A prefix belongs to the input and the model it was chosen for.
        belongs_to = (checkpoint.header.sha256, text)
        if st.session_state.get("prefix belongs to", belongs_to) != belongs_to:
            st.session_state["prefix"] = ""
        st.session_state["prefix belongs to"] = belongs_to
        prefix = forced_prefix(checkpoint)
        steps = decode_steps(checkpoint, text, prefix)
        written = [step["id"] for step in steps]
        st.session_state["written"] = written
        total = sum(step["log_prob"] for step in steps)
        output = verbatim(checkpoint.target_vocabulary.decode(written))
        with st.container(horizontal=True, vertical_alignment="center"):
            who = "After your choice, the model" if prefix else "The model"
            st.markdown(
                f"{who} writes {output}, "
                f"log-probability {total:.4f} (probability {math.exp(total):.2%}).",
                width="stretch",
            )
            st.button("Back to the model's own choice", on_click=start_over, disabled=not prefix)
        if written[-1] != checkpoint.config.eos_id:
            st.warning("The output was cut: the model goes on without an end.")
        address.read("step", "1")
        told = address.tell("step", "decoding")
        wanted = int(told.value) - 1 if told.value.isdecimal() and len(told.value) < 6 else 0
        decoding_steps(
            shown(checkpoint.source_vocabulary.tokens, source[0].tolist()),
            steps,
            key="decoding",
            selected=min(max(wanted, 0), len(steps) - 1),
            turn=told.turn,
            on_step=remember_step,
            on_choice=take_choice,
        )
        address.write("step", st.session_state["step"])
        address.write("prefix", st.session_state["prefix"])
        view = View(
            checkpoint, text, tuple(prefix), tuple(written), int(st.session_state["step"]) - 1
        )
        address.read("panel", next(iter(PANELS)))
        if st.session_state["panel"] not in PANELS:
            st.session_state["panel"] = next(iter(PANELS))
        panel = st.segmented_control(
            "More about this output",
            list(PANELS),
            format_func=lambda name: PANELS[name][0],
            key="panel",
        )
        address.write("panel", panel if panel and panel != next(iter(PANELS)) else "")
        st.session_state["kept panel"] = panel
        if panel:
            with errors_shown():
                PANELS[panel][1](view)

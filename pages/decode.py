"""Step through decoding: each token's probabilities, what it looked at, other paths."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding import (
    branch_store,
    branches,
    comparison,
    errors,
    lens,
    many_inputs,
    place,
    strategies,
    teacher_forcing,
    verdict,
    what_if,
    why,
)
from pages.components.decoding.paths import DecodingPath, decode_path
from pages.components.decoding.view import View
from pages.components.shared import inputs
from pages.components.shared.inspection import shown
from pages.components.shared.panels import open_panel
from pages.components.shell import address
from pages.components.shell.frame import errors_shown, frame
from pages.components.shell.text import probability, verbatim
from pages.components.widgets.decoding_steps import decoding_steps

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

PANELS: dict[str, tuple[str, Callable[[View], None]]] = {
    "branches": ("Branches", branches.panel),
    "strategies": ("Strategies", strategies.panel),
    "lens": ("Lens", lens.panel),
    "why": ("Why this token", why.panel),
    "what_if": ("What if", what_if.panel),
    "forcing": ("Teacher forcing", teacher_forcing.panel),
    "errors": ("Errors", errors.panel),
    "batch": ("Many inputs", many_inputs.panel),
}


@st.fragment
def walk(checkpoint: "Checkpoint", text: str) -> None:
    """Everything about one input. A fragment: another path leaves the rest of the page alone."""
    if st.session_state["input"] != text:
        st.rerun()  # a panel has opened another input
    with errors_shown(), address.together("Decode"):
        source = checkpoint.source_ids(text)
        place.read(checkpoint, text)
        spec = place.spec(checkpoint)
        branch_store.notice(spec, checkpoint)
        left, right = st.columns(2)
        wanted: tuple[int, ...] = ()
        with left:
            target = verdict.target_field(checkpoint, text)
            with errors_shown():
                wanted = verdict.target_ids(checkpoint, target)
        with right:
            compared = comparison.field(checkpoint, spec, wanted)
        path = decode_path(checkpoint, text, spec)
        summary(checkpoint, path, wanted)
        error = verdict.find_error(path, wanted)
        judgement = st.container()  # filled below: it may decode once more
        sides = comparison.sides(compared, checkpoint, text, path, wanted)
        decoding_steps(
            shown(checkpoint.target_vocabulary.tokens, range(checkpoint.config.target_vocab_size)),
            shown(checkpoint.source_vocabulary.tokens, source),
            sides,
            wanted=wanted,
            told=place.tell(error.position if error else 0, max(len(one.ids) for one in sides)),
            seed=place.last_seed(),
            key="decoding",
            on_place=place.remember,
            on_choice=place.take_choice,
        )
        if error is not None:
            with judgement:
                verdict.verdict(checkpoint, text, path, wanted, error)
        place.write()
        view = View(
            checkpoint, text, spec.prefix, path.written, place.step(), spec.sampling, wanted
        )
        open_panel("More about this output", PANELS, "part", view)


def summary(checkpoint: "Checkpoint", path: DecodingPath, wanted: tuple[int, ...]) -> None:
    """What was written, and the way back to what the model writes by itself."""
    prefix = path.spec.prefix
    with st.container(horizontal=True, vertical_alignment="center"):
        who = "After your choice, the model" if prefix else "The model"
        judged = ", which is right" if path.written == wanted else ""
        st.markdown(
            f"{who} writes {verbatim(checkpoint.target_vocabulary.decode(path.written))}{judged}; "
            f"log-probability {path.total:.4f} (probability {probability(math.exp(path.total))}).",
            width="stretch",
        )
        st.button("Back to the model's own choice", on_click=place.start_over, disabled=not prefix)
    if path.written[-1] != checkpoint.config.eos_id:
        st.warning("The output was cut: the model goes on without an end.")


SUBTITLE = "Walk through the output token by token, and try the roads not taken."

with frame("Decode", SUBTITLE), address.together("Decode"):
    chosen = inputs.checkpoint_and_text()
    if chosen is not None:
        walk(*chosen)

"""The Decode page: each token's probabilities, its attention, and other choices of tokens."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding import (
    branch_store,
    branches,
    comparison,
    errors,
    lengths,
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
from pages.components.shared.examples import chosen_pairs
from pages.components.shared.inspection import visible_tokens
from pages.components.shared.panels import open_tab
from pages.components.shared.right_answer import seen_in_training
from pages.components.shell import address
from pages.components.shell.frame import errors_shown, frame
from pages.components.shell.text import probability, verbatim
from pages.components.widgets.decoding_steps import decoding_steps

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

Panel = tuple[str, Callable[[View], None]]
TABS: Mapping[str, Mapping[str, Panel]] = {
    "Branches": {"branches": ("Branches", branches.panel)},
    "Strategies": {
        "strategies": ("Greedy, sampling, beams", strategies.panel),
        "forcing": ("Teacher forcing", teacher_forcing.panel),
    },
    "Why": {
        "why": ("Why this token", why.panel),
        "lens": ("Lens", lens.panel),
        "what_if": ("What if", what_if.panel),
    },
    "Errors": {
        "errors": ("Wrong answers", errors.panel),
        "lengths": ("By length", lengths.panel),
    },
    "Many inputs": {"batch": ("Many inputs", many_inputs.panel)},
}
START_OVER = "Back to what the model writes by itself; your branch stays in the tree."


@st.fragment
def walk(checkpoint: "Checkpoint", text: str) -> None:
    """Everything about one input. A fragment, so that another path redraws only this."""
    if st.session_state["input"] != text:
        st.rerun()  # a panel has opened another input
    with errors_shown(), address.together("Decode"):
        source = checkpoint.source_ids(text)
        place.read(checkpoint, text)
        spec = place.spec(checkpoint)
        branch_store.notice(spec, checkpoint)
        wanted: tuple[int, ...] = ()
        left, right = st.columns([5, 1], vertical_alignment="center")
        with right, st.container(horizontal=True, horizontal_alignment="right"):
            if spec.prefix:
                st.button("Start over", on_click=place.start_over, help=START_OVER)
            with st.popover("Compare", key="beside popover"):
                target = verdict.target_field(checkpoint, text)
                with left, errors_shown():
                    wanted = verdict.target_ids(checkpoint, target)
                compared = comparison.field(checkpoint, spec, wanted)
        path = decode_path(checkpoint, text, spec)
        with left:
            summary(checkpoint, text, path, wanted)
        error = verdict.find_error(path, wanted)
        judgement = st.container()  # filled below, because it may decode once more
        sides = comparison.sides(compared, checkpoint, text, path, wanted)
        decoding_steps(
            visible_tokens(
                checkpoint.target_vocabulary.tokens, range(checkpoint.config.target_vocab_size)
            ),
            visible_tokens(checkpoint.source_vocabulary.tokens, source),
            sides,
            wanted=wanted,
            message=place.message(
                error.position if error else 0, max(len(one.ids) for one in sides)
            ),
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
        open_tab("More about this output", TABS, "part", view)


def summary(
    checkpoint: "Checkpoint", text: str, path: DecodingPath, wanted: tuple[int, ...]
) -> None:
    """The output in a sentence, and what the user's own choice of a token changed."""
    who = "After your choice, the model" if path.spec.prefix else "The model"
    judged = ", which is right" if path.written == wanted else ""
    said = (
        f"{who} writes {verbatim(checkpoint.target_vocabulary.decode(path.written))}{judged}; "
        f"probability {probability(math.exp(path.total))}.",
        seen_in_training(checkpoint, chosen_pairs(), text),
        verdict.own_choice(checkpoint, path),
    )
    st.markdown(" ".join(filter(None, said)))
    if path.written[-1] != checkpoint.config.eos_id:
        st.warning("The output was cut: the model did not write an end.")


with frame("Decode", ""), address.together("Decode"):
    chosen = inputs.checkpoint_and_text()
    if chosen is not None:
        walk(*chosen)

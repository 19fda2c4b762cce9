"""Anatomy: a map of one forward pass, and a card for the box that is chosen on it."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.learn import place, removed_box
from pages.components.shared import inputs
from pages.components.shared.inspection import LONGEST_OUTPUT, visible_tokens
from pages.components.shell import address
from pages.components.shell.frame import errors_shown
from pages.components.shell.text import verbatim
from pages.components.widgets.anatomy_map import anatomy_map
from pages.components.widgets.value_picture import value_picture
from transformer.anatomy.boxes import Box, boxes
from transformer.anatomy.code import code_of

if TYPE_CHECKING:
    from transformer.anatomy.forward_pass import ForwardPass
    from transformer.checkpoint import Checkpoint


def panel() -> None:
    """The fields that choose model and input, then the map with its card."""
    chosen = inputs.checkpoint_and_text()
    if chosen is not None:
        walk(*chosen)


@st.fragment
def walk(checkpoint: "Checkpoint", text: str) -> None:
    """Draw map and card. A fragment, so that another box redraws only these."""
    with errors_shown(), address.together("Learn"):
        written = written_for(checkpoint, text)
        every = boxes(checkpoint.config)
        place.read((checkpoint.header.sha256, text), every, len(written))
        box = place.box(every)
        left, right = st.columns([5, 6], gap="medium")
        with left:
            anatomy_map(
                checkpoint.config,
                visible_tokens(checkpoint.target_vocabulary.tokens, written),
                absent=box.id if removed_box.is_absent(checkpoint, box) else "",
                message=place.message(),
                key=place.MAP,
                on_place=place.remember,
            )
        with right:
            what_for(box)
            # Above the picture, so that the switch's effect is visible where it is pressed.
            removed_box.panel(checkpoint, text, box, written, place.step())
            values(pass_of(checkpoint, text, written, place.step()), box)
            lines_that_compute(box)
        place.write()


def written_for(checkpoint: "Checkpoint", text: str) -> tuple[int, ...]:
    """Ids of the greedy output; the last one is cached."""
    from transformer.decoding.strategies import Greedy, decode

    name = (checkpoint.header.sha256, text)
    kept: tuple[object, tuple[int, ...]] | None = st.session_state.get("anatomy written")
    if kept is None or kept[0] != name:
        strategy = Greedy(max_length=LONGEST_OUTPUT)
        kept = (name, decode(checkpoint.model, checkpoint.encode(text), strategy)[0].tokens)
        st.session_state["anatomy written"] = kept
    return kept[1]


def pass_of(
    checkpoint: "Checkpoint", text: str, written: tuple[int, ...], step: int
) -> "ForwardPass":
    """The forward pass at one step; the last one is cached, for all of its boxes."""
    from transformer.anatomy.forward_pass import forward_pass

    name = (checkpoint.header.sha256, text, step)
    kept: tuple[object, ForwardPass] | None = st.session_state.get("anatomy pass")
    if kept is None or kept[0] != name:
        kept = (name, forward_pass(checkpoint, checkpoint.encode(text), written[:step]))
        st.session_state["anatomy pass"] = kept
    return kept[1]


def what_for(box: Box) -> None:
    """Draw what a box is, and why it is there."""
    about = box.about
    # One element, because each takes the browser as long as a small picture.
    where = f":small[{box.where} · section {about.section} of the paper]"
    st.markdown(f"#### {about.title}\n\n{where}\n\n{about.why}")


def values(run: "ForwardPass", box: Box) -> None:
    """Draw a box's formula, its inputs and outputs, and its numbers."""
    given, made = run.shapes(box)
    formula = box.formula(run.checkpoint.config)
    st.markdown(f"$$\n{formula}\n$$\n\n**In:** {given}  \n**Out:** {made}")
    value_picture(
        run.pictures(box),
        None if box.encodes or box.stack == "output" else run.step,
        key="anatomy values",
    )
    taken = st.session_state["absent"]
    in_place = "**The picture shows the box in its place, not taken out.** " if taken else ""
    st.caption(in_place + look_for(box))


def lines_that_compute(box: Box) -> None:
    """Draw the lines of code that compute a box, read from the file."""
    for lines in code_of(box.about.code):
        which = (
            f"line {lines.first}"
            if lines.first == lines.last
            else (f"lines {lines.first} to {lines.last}")
        )
        st.caption(f"{verbatim(lines.file)}, {which}")
        st.code(lines.text, language="python", wrap_lines=True)


def look_for(box: Box) -> str:
    """What a box's picture shows, in a sentence."""
    if box.stack == "output":
        return "The most likely tokens at this step; the first is written."
    marked = "" if box.encodes else " The underlined row is the position being written."
    if box.part in ("products", "scores", "mask"):
        return f"Rows: queries; columns: keys; blue fits, orange does not, grey is hidden.{marked}"
    if box.part == "softmax":
        return f"Rows: queries; columns: keys; each row sums to 1.{marked}"
    return f"Rows: positions; columns: features; blue is positive, orange negative.{marked}"

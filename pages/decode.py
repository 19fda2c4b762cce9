"""Step through decoding: each token's probabilities, what it looked at, other roads."""

import math
from collections.abc import Callable

import streamlit as st

from pages.components import address, inputs
from pages.components.decoding import beside, branch_store, branches, forcing, place, verdict
from pages.components.decoding.roads import decode_road
from pages.components.decoding.view import View
from pages.components.decoding_steps import decoding_steps
from pages.components.frame import errors_shown, frame
from pages.components.inspection import shown
from pages.components.text import verbatim

PANELS: dict[str, tuple[str, Callable[[View], None]]] = {
    "branches": ("Branches", branches.panel),
    "forcing": ("Teacher forcing", forcing.panel),
}
"""Name in the address -> its title, and what draws it."""

with frame("Decode", "Walk through the output token by token, and try the roads not taken."):
    chosen = inputs.checkpoint_and_text()
    if chosen is not None:
        checkpoint, text = chosen
        vocabulary = checkpoint.target_vocabulary
        source = checkpoint.encode(text)[0].tolist()
        place.read(checkpoint, text)
        way = place.way(checkpoint)
        branch_store.notice(way, checkpoint)
        left, right = st.columns(2)
        wanted: tuple[int, ...] = ()
        with left:
            target = verdict.target_field(checkpoint, text)
            with errors_shown():
                wanted = verdict.target_ids(checkpoint, target)
        with right:
            compared = beside.field(checkpoint, way, wanted)
        road = decode_road(checkpoint, text, way)
        error = verdict.find_error(road, wanted)
        with st.container(horizontal=True, vertical_alignment="center"):
            who = "After your choice, the model" if way.prefix else "The model"
            judged = ", which is right" if road.written == wanted else ""
            st.markdown(
                f"{who} writes {verbatim(vocabulary.decode(road.written))}{judged}; "
                f"log-probability {road.total:.4f} (probability {math.exp(road.total):.2%}).",
                width="stretch",
            )
            st.button(
                "Back to the model's own choice", on_click=place.start_over, disabled=not way.prefix
            )
        if road.written[-1] != checkpoint.config.eos_id:
            st.warning("The output was cut: the model goes on without an end.")
        if error is not None:
            verdict.verdict(checkpoint, text, road, wanted, error)
        sides = beside.sides(compared, checkpoint, text, road, wanted)
        decoding_steps(
            shown(vocabulary.tokens, range(len(vocabulary))),
            shown(checkpoint.source_vocabulary.tokens, source),
            sides,
            wanted=wanted,
            told=place.tell(error.position if error else 0, max(len(side.ids) for side in sides)),
            key="decoding",
            on_place=place.remember,
            on_choice=place.take_choice,
        )
        place.write()
        view = View(checkpoint, text, way.prefix, road.written, place.step(), way.sampling, wanted)
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

"""Every head's map for one input, what each head does, and what depends on it."""

from collections.abc import Callable, Sequence

import streamlit as st

from pages.components.attention import (
    ablation,
    export,
    one_weight,
    patterns,
    place,
    saliency,
    sides,
)
from pages.components.attention.checks import trust_strip
from pages.components.attention.sides import Shown
from pages.components.shared import inputs
from pages.components.shared.panels import open_panel
from pages.components.shell import address
from pages.components.shell.frame import errors_shown, frame
from pages.components.shell.text import verbatim
from pages.components.widgets.attention_explorer import attention_explorer
from transformer.analysis.heads import Head
from transformer.tasks import TASKS

PANELS: dict[str, tuple[str, Callable[[Sequence[Shown], Head | None], None]]] = {
    "look": ("What to look for", patterns.panel),
    "number": ("How a number comes about", one_weight.panel),
    "cause": ("Cause", ablation.panel),
    "evidence": ("Saliency and rollout", saliency.panel),
    "export": ("Take it along", export.panel),
}

SUBTITLE = "Where every head looks, in all three attentions, for an input of yours."

with frame("Attention", SUBTITLE), address.together("Attention"):
    chosen = inputs.checkpoint_and_text()
    if chosen is not None:
        checkpoint, text = chosen
        left, right = st.columns(2)
        with left:
            output = sides.output_field()
        with right:
            comparison = sides.comparison_field()
        shown = sides.show(sides.name_of(comparison, text), checkpoint, text, output)
        other = None
        with right, errors_shown():
            other = sides.comparison(comparison, shown)
        found = shown.inspection
        if found.given:
            st.markdown(f"The maps are for {verbatim(found.output)}, the output you gave.")
        else:
            sides.judgement(shown)
        if not found.complete:
            st.warning("The output was cut: the model goes on without an end.")
        if checkpoint.task in TASKS:
            st.markdown(f"**What to look for.** {TASKS[checkpoint.task].look_for}")
        both = [shown] if other is None else [shown, other]
        told = place.read()
        attention_explorer(
            [one.side for one in both], key="explorer", told=told, on_place=place.remember
        )
        place.write()
        head = place.chosen_head(checkpoint.config)
        patterns.sentence(shown, head)
        trust_strip(both)
        open_panel("More about these heads", PANELS, "panel", both, head)

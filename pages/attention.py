"""The Attention page: every head's map for one input, what each head does, what depends on it."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from pages.components.attention import (
    ablation,
    export,
    inspected_input,
    one_weight,
    patterns,
    place,
    pruning,
    saliency,
)
from pages.components.attention.checks import trust
from pages.components.attention.inspected_input import InspectedInput
from pages.components.shared import inputs
from pages.components.shared.panels import open_tab
from pages.components.shell import address
from pages.components.shell.frame import errors_shown, frame
from pages.components.widgets.attention_explorer import attention_explorer
from transformer.analysis.heads import Head
from transformer.tasks import TASKS

Panel = tuple[str, Callable[[Sequence[InspectedInput], Head | None], None]]
TABS: Mapping[str, Mapping[str, Panel]] = {
    "Patterns": {
        "look": ("All heads", patterns.panel),
        "cause": ("Switch heads off", ablation.panel),
        "spare": ("Which can go", pruning.panel),
    },
    "This number": {"number": ("Step by step", one_weight.panel)},
    "Saliency": {"evidence": ("Saliency and rollout", saliency.panel)},
    "Export": {"export": ("Export", export.panel)},
}

with frame("Attention", ""), address.together("Attention"):
    chosen = inputs.checkpoint_and_text()
    if chosen is not None:
        checkpoint, text = chosen
        message = place.read(checkpoint)
        left, right = st.columns([3, 1], vertical_alignment="center")
        with right, st.container(horizontal=True, horizontal_alignment="right"):
            checked = st.container(width="content")
            with st.popover("Compare", key="beside"):
                comparison = inspected_input.comparison_field()
                beside = st.container()
                output = inspected_input.output_field()
        inspected = inspected_input.inspect_cached(
            inspected_input.name_of(comparison, text), checkpoint, text, output
        )
        ablation.read(inspected)
        off = ablation.switched_off(inspected)
        with left:
            inspected_input.answer(inspected, ablation.sentence(inspected, off))
        other = None
        with beside, errors_shown():
            other = inspected_input.comparison(comparison, inspected)
        both = [inspected] if other is None else [inspected, other]
        attention_explorer(
            [one.side for one in both],
            key="explorer",
            message=message,
            look_for=TASKS[checkpoint.task].look_for if checkpoint.task in TASKS else "",
            on_place=place.remember,
            on_numbers=place.ask_numbers,
        )
        place.write()
        with checked:
            trust(both)
        head = place.chosen_head(checkpoint.config)
        open_tab("More about these heads", TABS, "panel", both, head)

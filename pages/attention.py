"""Every head's map for one input."""

import streamlit as st

from pages.components import address, inputs
from pages.components.attention_explorer import attention_explorer
from pages.components.frame import frame
from pages.components.inspection import chosen_head, inspect
from pages.components.text import verbatim
from transformer.tasks import TASKS


def remember_head() -> None:
    address.report("head", st.session_state["explorer"]["head"])


with frame("Attention", "Where every head looks, in all three attentions, for an input of yours."):
    chosen = inputs.checkpoint_and_text()
    if chosen is not None:
        checkpoint, text = chosen
        inspection = inspect(checkpoint, text)
        st.markdown(f"The model writes {verbatim(inspection.output)}.")
        if not inspection.complete:
            st.warning("The output was cut: the model goes on without an end.")
        if checkpoint.task in TASKS:
            st.markdown(f"**What to look for.** {TASKS[checkpoint.task].look_for}")
        address.read("head", "")
        attention_explorer(
            inspection.kinds,
            key="explorer",
            told=address.tell("head", "explorer"),
            on_select=remember_head,
        )
        address.write("head", st.session_state["head"])
        if st.toggle("This head as a figure to save"):
            from transformer.figures import attention_map

            kind, layer, head = chosen_head(inspection.kinds, st.session_state["head"])
            figure = attention_map(
                kind.weights[layer, head],
                kind.query_tokens,
                kind.key_tokens,
                title=f"{kind.title}, layer {layer + 1}, head {head + 1}",
            )
            st.caption("The camera above the figure saves it as a picture.")
            st.plotly_chart(figure)

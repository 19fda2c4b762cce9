"""Other answers to "what did this token come from": gradient x input, and attention rollout."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from pages.components.attention import place
from pages.components.attention.inspected_input import InspectedInput
from pages.components.shared.inputs import place_box
from pages.components.shared.inspection import visible_tokens
from pages.components.shell.text import percent, verbatim
from transformer.analysis.heads import Head
from transformer.analysis.rollout import rollout


def panel(sides: Sequence[InspectedInput], head: Head | None) -> None:
    """One output token, and three measures of what it came from, side by side."""
    inspected = sides[0]
    import torch

    from transformer.analysis.attribution import saliency
    from transformer.figures.attention import evidence_bars

    found = inspected.inspection
    encoder, decoder, cross = found.kinds
    position = _position(inspected)
    result = saliency(
        inspected.checkpoint.model,
        torch.tensor([found.source]),
        torch.tensor([found.read]),
        position,
        found.written[position],
    )
    rolled = rollout(encoder.weights, decoder.weights, cross.weights)
    written = cross.query_tokens[position]
    [rival] = visible_tokens(inspected.checkpoint.target_vocabulary.tokens, [result.rival])
    # The head on screen if it is a cross-attention, else the mean of the last layer.
    if head is not None and head.kind == "cross":
        raw, name = cross.weights[head.layer, head.head, position], head.title
    else:
        raw = cross.weights[-1, :, position].mean(axis=0)
        name = "Cross-attention, last layer, mean over the heads"
    st.markdown(
        f"The model writes {verbatim(written)} at position {position + 1}; its logit leads that "
        f"of the closest rival, {verbatim(rival)}, by {result.lead:.2f}."
    )
    st.plotly_chart(
        evidence_bars(
            cross.key_tokens,
            {
                f"Attention weight: {name[0].lower()}{name[1:]}": raw,
                "Attention rollout, share": rolled.from_source[position],
                f"Gradient × input, why {written} and not {rival} (logits)": result.source,
            },
            title=f"Where {written} at position {position + 1} comes from",
        ),
        key="evidence",
    )
    own = float(np.sum(result.read))
    st.caption(
        f"The output written so far is not in the picture: rollout gives it "
        f"{percent(float(rolled.from_target[position].sum()))}, gradient × input {own:+.2f} logits."
    )
    st.markdown(
        "- **Attention weight** is the share of each position in one head's result, at its "
        "layer. It does not say whether the model used the result, nor what these positions held "
        "at that layer.\n"
        "- **Rollout** multiplies the attention of all layers and counts residual connections as "
        "half. It says where information *could* flow; it ignores values and feed-forward "
        "networks, and cannot say that a token counted *against* the output.\n"
        "- **Gradient × input** is signed and goes through the whole model, but only to first "
        "order: it says what a small change would do, and can miss effects that are saturated or "
        "act through several tokens at once.\n"
        "- Where all three agree, look closer; to know what the output depends on, switch heads "
        "off."
    )


def _position(inspected: InspectedInput) -> int:
    """Field for the output token to explain; its index, from 0 (from 1 in the address)."""
    tokens = inspected.inspection.kinds[-1].query_tokens
    cell = place.kept_cell(10**6, 10**6)
    default = cell[0] if cell is not None and st.session_state["head"][:5] != "encod" else 0
    return place_box("Output token", tokens, "token", min(default, len(tokens) - 1))

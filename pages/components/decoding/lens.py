"""The logit lens: candidates as each decoder layer would rank them, and each layer's entropy."""

import html
import math
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.chips import source_and_read
from pages.components.decoding.view import View
from pages.components.shared.download import download
from pages.components.shared.inspection import visible_tokens
from pages.components.shell.tables import Cell, Row, html_table
from pages.components.shell.text import Html, code, probability, verbatim
from transformer.files import write_csv

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from transformer.analysis.lens import Lens

CANDIDATES = 8
"""Number of tokens shown for each layer."""


def panel(view: View) -> None:
    """Draw the step shown, layer by layer, then the entropy of all steps."""
    from transformer.analysis.lens import lens

    found = lens(view.checkpoint.model, *source_and_read(view))
    ranks = found.ranks(view.step)
    st.markdown(_finding(view, ranks))
    st.html(_table(view, found, ranks))
    st.caption(
        "What the model would write at this step if each layer were the last one: probability, "
        "and how many places the token rose (↑) or fell (↓) since the layer before. Framed: the "
        "token that is written. Before layer 1 there is only the token just read, with its "
        "position."
    )
    _entropy(view, found)
    st.markdown(_caveat(view))
    download(
        "Ranks and probabilities (CSV)", lambda: _csv(view, found), f"lens-step-{view.step + 1}.csv"
    )


def layer_name(layer: int) -> str:
    return f"layer {layer}" if layer else "before layer 1"


def _finding(view: View, ranks: "NDArray[np.int64]") -> str:
    """From which layer on the written token ranks first, in sentences."""
    token = view.written[view.step]
    [name] = visible_tokens(view.checkpoint.target_vocabulary.tokens, [token])
    places = ranks[:, token].tolist()
    said = f"Step {view.step + 1} writes {verbatim(name)}. "
    if places[-1] != 1:
        return f"{said}It is not the model's first choice, but its choice no. {places[-1]}."
    since = next(i for i in range(len(places)) if all(place == 1 for place in places[i:]))
    if since == 0:
        return f"{said}It is in first place from the start, even before the first layer."
    before = layer_name(since - 1) if since == 1 else f"after {layer_name(since - 1)}"
    return (
        f"{said}It is in first place from **layer {since}** on; {before} it was "
        f"no. {places[since - 1]} of {ranks.shape[1]}."
    )


def _table(view: View, found: "Lens", ranks: "NDArray[np.int64]") -> str:
    """HTML: one column per layer, with its candidates, the most probable on top."""
    written = view.written[view.step]
    probabilities = found.probabilities[:, view.step]
    layers, size = probabilities.shape
    names = visible_tokens(view.checkpoint.target_vocabulary.tokens, range(size))
    order = ranks.argsort(axis=1)  # [layer, place] -> token
    rows: list[Row] = []
    for place in range(min(CANDIDATES, size)):
        cells = []
        for layer in range(layers):
            token = int(order[layer, place])
            change = int(ranks[layer - 1, token] - ranks[layer, token]) if layer else 0
            content = Html(
                f"<div><b>{code(names[token])}</b>"
                f"<span>{html.escape(probability(float(probabilities[layer, token])))}</span>"
                f"<span>{_arrow(change) if layer else ''}</span></div>"
            )
            cells.append(Cell(content, "written" if token == written else ""))
        rows.append([f"{place + 1}.", *cells])
    head: Row = [Cell("", tag="td", style="border: 0"), *map(layer_name, range(layers))]
    return html_table("lens", head, rows, label="Candidates by layer")


def _arrow(change: int) -> str:
    if change == 0:
        return "="
    return f"↑{change}" if change > 0 else f"↓{-change}"


def _entropy(view: View, found: "Lens") -> None:
    from transformer.figures.curves import entropy_lines

    entropy = found.entropy
    tokens = visible_tokens(view.checkpoint.target_vocabulary.tokens, view.written)
    st.plotly_chart(
        entropy_lines(
            tokens,
            {layer_name(layer): entropy[layer] for layer in range(len(entropy))},
            view.step,
        ),
        key="entropy",
    )
    most = int(entropy[-1].argmax())
    size = view.checkpoint.config.target_vocab_size
    st.caption(
        f"0 bits: all on one token; {math.log2(size):.1f} bits: all {size} equally probable. "
        f"After the last layer the model is least decided at step {most + 1} "
        f"({entropy[-1, most]:.2f} bits), where it writes {verbatim(tokens[most])}."
    )


def _caveat(view: View) -> str:
    config = view.checkpoint.config
    kind = (
        "This model is pre-norm: all layers add to one stream that is normalised at the end, "
        "which is the case the lens was made for."
        if config.norms_first("decoder")
        else (
            "This model is post-norm, as in the paper: each layer ends in a norm with its own "
            "gain and bias, so layers may differ in scale and direction. Compare the order of "
            "candidates rather than their probabilities."
        )
    )
    normed = "norm and " if config.norm_after("decoder") else ""
    return (
        "**What a lens can tell, and what not.** Every layer is read with the last layer's "
        f"{normed}output projection. A token that is first at an early layer was decided early. A "
        "token that is *not* first there may still be encoded in the layer, in a form that only "
        f"later layers read. {kind}"
    )


def _csv(view: View, found: "Lens") -> bytes:
    ranks, probabilities = found.ranks(view.step), found.probabilities[:, view.step]
    names = visible_tokens(view.checkpoint.target_vocabulary.tokens, range(ranks.shape[1]))
    return write_csv(
        ("layer", "token", "id", "rank", "probability"),
        (
            (layer, names[token], token, int(ranks[layer, token]), float(row[token]))
            for layer, row in enumerate(probabilities)
            for token in ranks[layer].argsort().tolist()
        ),
    )

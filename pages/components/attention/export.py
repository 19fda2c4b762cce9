"""Export: a page that works offline, the numbers, figures for a paper, and the address."""

import html
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages.components.attention.inspected_input import InspectedInput
from pages.components.shared.download import download
from pages.components.shell.address import Message
from pages.components.shell.offline import offline_page
from pages.components.widgets.attention_explorer import WIDGET, pack
from pages.components.widgets.live_model import live_page, why_not
from transformer.analysis.heads import Head
from transformer.files import cell
from transformer.vocabulary.vocabulary import visible

DRAW = """draw({
  data: carried,
  parentElement: document.getElementById("here"),
  setStateValue() {},
});"""


def panel(sides: Sequence[InspectedInput], head: Head | None) -> None:
    """Download buttons; each file is made after the click."""
    inspected, place = sides[0], st.session_state["place"]
    task = inspected.checkpoint.task
    name = f"attention-{task}"
    st.markdown(
        "The map on screen as **PNG** or **SVG**: *Settings and pictures* below it. The view as an "
        "**address**: copy it from the browser; it opens this checkpoint, input, head and cell."
    )
    with st.container(horizontal=True):
        download("This page, offline (HTML)", lambda: attention_page(sides, place), f"{name}.html")
        if not (reason := why_not(inspected.checkpoint)):
            download(
                "The model itself, offline (HTML)",
                lambda: live_page(
                    inspected.checkpoint, f"A model for the task {task}", [inspected.text]
                ),
                f"model-{task}.html",
                help="It takes any input and needs only a browser: type, step, switch heads off.",
            )
        download("All weights (NPZ)", lambda: as_npz(inspected), f"{name}.npz")
        if head is not None:
            download(
                "This head (CSV)", lambda: weights_as_csv(inspected, head), f"{name}-{head}.csv"
            )
        download("Scores of all heads (CSV)", lambda: scores_as_csv(inspected), f"{name}-heads.csv")
    if reason:
        st.caption(f"The model itself cannot be saved as a page. {reason}")
    st.markdown("In a notebook, from the NPZ or from any array of your own:")
    st.code(
        "import numpy as np\n"
        "from transformer.figures import attention_grid, attention_map, head_view\n\n"
        f'saved = np.load("{name}.npz")\n'
        'weights, queries, keys = saved["cross"], saved["written"], saved["source"]\n'
        "attention_map(weights[0, 0], queries, keys)   # one head\n"
        "attention_grid(weights, queries, keys)        # every layer and head\n"
        "head_view(weights[0], queries, keys)          # lines, a colour a head",
        language="python",
        wrap_lines=True,
    )
    if head is not None and st.toggle("This head as a Plotly figure"):
        from transformer.figures.attention import attention_map

        kind = next(kind for kind in inspected.inspection.kinds if kind.id == head.kind)
        figure = attention_map(
            kind.weights[head.layer, head.head],
            kind.query_tokens,
            kind.key_tokens,
            title=head.title,
        )
        # A weight of 0 has the page's background colour.
        figure.update_traces(reversescale=st.context.theme.type == "dark")
        st.plotly_chart(figure)
        st.caption("The camera above the figure saves it as a picture.")


def attention_page(sides: Sequence[InspectedInput], place: str) -> bytes:
    """The explorer with its data in one HTML file, which needs no server."""
    inspected = sides[0]
    summary = html.escape(
        visible(f"Input: {inspected.text} · Output: {inspected.inspection.output}")
    )
    return offline_page(
        f"Attention of a model for the task {inspected.checkpoint.task}",
        f'<p>{summary}</p>\n<main id="here">{WIDGET.html}</main>',
        WIDGET.style,
        [WIDGET.script_alone, DRAW],
        pack([one.side for one in sides], Message(place, 1)),
    )


def as_npz(inspected: InspectedInput) -> bytes:
    """encoder, decoder, cross: [layer, head, query, key]; source, read, written: tokens."""
    encoder, decoder, cross = inspected.inspection.kinds
    file = io.BytesIO()
    np.savez_compressed(
        file,
        encoder=encoder.weights,
        decoder=decoder.weights,
        cross=cross.weights,
        source=np.array(cross.key_tokens),
        read=np.array(decoder.key_tokens),
        written=np.array(cross.query_tokens),
    )
    return file.getvalue()


def weights_as_csv(inspected: InspectedInput, head: Head) -> bytes:
    """One line per weight: positions counted from 1, tokens, the weight to 9 digits."""
    kind = next(kind for kind in inspected.inspection.kinds if kind.id == head.kind)
    weights = kind.weights[head.layer, head.head]
    rows, columns = np.indices(weights.shape).reshape(2, -1)
    frame = pd.DataFrame(
        {
            "row": rows + 1,
            "query": [cell(kind.query_tokens[row]) for row in rows],
            "column": columns + 1,
            "key": [cell(kind.key_tokens[column]) for column in columns],
            "weight": weights.reshape(-1),
        }
    )
    return frame.to_csv(index=False, float_format="%.9g").encode()


def scores_as_csv(inspected: InspectedInput) -> bytes:
    """One line per head: its label, its measures, and its share on every pattern."""
    frame = pd.DataFrame(
        {
            "kind": one.head.kind,
            "layer": one.head.layer + 1,
            "head": one.head.head + 1,
            "label": one.label,
            "entropy_bits": one.entropy,
            "distance": one.distance,
            "confidence": one.confidence,
            "uniform": one.uniform,
            **{f"on_{name}": share for name, share in one.patterns.items()},
            **{f"chance_{name}": share for name, share in one.chance.items()},
        }
        for one in inspected.scores.values()
    )
    return frame.to_csv(index=False, float_format="%.6g").encode()

"""Plotly figures about what heads do and what depends on them; see ``figures`` for their maps."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from transformer.figures.attention import HEADS
from transformer.figures.style import label


def query_key_map(
    queries: ArrayLike,
    keys: ArrayLike,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    title: str = "",
) -> go.Figure:
    """One head's queries and keys in one plane: their two principal directions together.

    The plane goes through the origin, so that a dot product keeps its meaning in it.

    Args:
        queries: [query, d_k]; keys: [key, d_k]
    """
    both = np.concatenate([np.asarray(queries, float), np.asarray(keys, float)])
    _, strength, directions = np.linalg.svd(both, full_matrices=False)
    points = both @ directions[:2].T
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 1)))
    kept = (strength[:2] ** 2).sum() / max((strength**2).sum(), 1e-12)
    figure = go.Figure()
    for name, part, tokens, symbol, colour in (
        ("queries", points[: len(query_tokens)], query_tokens, "circle", HEADS[0]),
        ("keys", points[len(query_tokens) :], key_tokens, "diamond", HEADS[1]),
    ):
        figure.add_scatter(
            x=part[:, 0],
            y=part[:, 1],
            mode="markers+text",
            name=name,
            text=[label(token) for token in tokens],
            textposition="top center",
            marker={"symbol": symbol, "color": colour, "size": 9},
            hovertemplate="%{text}<extra>" + name + "</extra>",
        )
    figure.update_xaxes(title="first principal direction", zeroline=True)
    figure.update_yaxes(title="second", zeroline=True)
    figure.update_layout(
        title=f"Queries and keys: {label(title)} ({kept:.0%} of their length squared)",
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
        margin={"t": 60},
    )
    return figure


def ranked_bars(
    names: Sequence[str],
    values: Sequence[float],
    whole: float,
    title: str,
    value_title: str,
    reference: str,
) -> go.Figure:
    """Horizontal bars in the order given, first on top, with a line at ``whole``."""
    figure = go.Figure(
        go.Bar(
            x=list(values),
            # Places, so that names are text and never numbers or dates.
            y=list(range(len(names))),
            orientation="h",
            marker={"color": HEADS[0]},
            customdata=[label(name) for name in names],
            hovertemplate="without %{customdata}: %{x:.1f}<extra></extra>",
        )
    )
    figure.add_vline(
        x=whole,
        line={"color": HEADS[1], "dash": "dash"},
        annotation={"text": f"{label(reference)}: {whole:.1f}", "yref": "paper", "y": 1.02},
        annotation_position="top left",
    )
    figure.update_xaxes(title=label(value_title), range=[0, 105])
    figure.update_yaxes(
        title="head switched off",
        tickvals=list(range(len(names))),
        ticktext=[label(name) for name in names],
        autorange="reversed",
    )
    figure.update_layout(
        title=label(title), margin={"t": 80}, height=max(260, 130 + 20 * len(names))
    )
    return figure


def before_after(
    tokens: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    preferred: Sequence[str],
    names: tuple[str, str] = ("all heads", "changed"),
) -> go.Figure:
    """The probability of each output token, before and after a change.

    Args:
        preferred: the most probable token after the change, shown on hover.
        names: of the two in the legend.
    """
    figure = go.Figure()
    places = list(range(len(tokens)))
    for name, values, colour, pattern in (
        (names[0], before, "#999999", ""),
        (names[1], after, HEADS[1], "/"),
    ):
        figure.add_bar(
            x=places,
            y=list(values),
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            customdata=[[label(a), label(b)] for a, b in zip(tokens, preferred, strict=True)],
            hovertemplate="%{customdata[0]}: %{y:.4f}"
            + ("<br>now most probable: %{customdata[1]}" if pattern else "")
            + f"<extra>{name}</extra>",
        )
    figure.update_xaxes(
        title="output token", tickvals=places, ticktext=[label(token) for token in tokens]
    )
    figure.update_yaxes(title="probability", range=[0, 1.02])
    figure.update_layout(
        title="Probability of each output token",
        barmode="group",
        height=300,
        margin={"t": 60},
        legend={"orientation": "h", "y": -0.4, "yanchor": "top"},
    )
    return figure


def evidence_bars(
    tokens: Sequence[str], measures: Mapping[str, ArrayLike], title: str
) -> go.Figure:
    """One row of bars a measure, over the same tokens; each row has its own unit."""
    figure = make_subplots(
        rows=len(measures),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.12,
        subplot_titles=[label(name) for name in measures],
    )
    places = list(range(len(tokens)))
    for row, (values, colour) in enumerate(zip(measures.values(), HEADS, strict=False), start=1):
        figure.add_bar(
            x=places,
            y=np.asarray(values, float),
            marker={"color": colour},
            customdata=[label(token) for token in tokens],
            hovertemplate="%{customdata}: %{y:.4f}<extra></extra>",
            row=row,
            col=1,
        )
    figure.update_xaxes(tickvals=places, ticktext=[label(token) for token in tokens])
    figure.update_xaxes(title="input token", row=len(measures), col=1)
    figure.update_layout(
        title=label(title),
        showlegend=False,
        height=130 + 140 * len(measures),
        margin={"t": 90},
    )
    return figure

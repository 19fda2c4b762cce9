"""Figures of attention: maps of weights, and measures of what heads do.

Pure functions of arrays and tokens: each returns a Plotly figure and displays nothing. Tokens are
escaped, since Plotly renders ``<b>`` or ``<s>`` as markup and a start token would not be shown.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from transformer.figures.style import HEADS, SEQUENTIAL, label, ticks, titled


def attention_map(
    weights: ArrayLike,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    title: str = "Attention weights",
) -> go.Figure:
    """One head's weights as a heat map, with a row per query and a column per key.

    Args:
        weights: [query, key], each row summing to 1.

    Raises:
        ValueError: the weights do not fit the tokens.
    """
    values = np.asarray(weights)
    _check_shape(values, 2, query_tokens, key_tokens)
    rows, columns = ([label(token) for token in side] for side in (query_tokens, key_tokens))
    says = [[f"{row} → {column}" for column in columns] for row in rows]
    figure = _heat_map(values, says)
    figure.update_xaxes(title="key: the token looked at", constrain="domain", **ticks(key_tokens))
    figure.update_yaxes(
        title="query: the token that looks",
        autorange="reversed",
        scaleanchor="x",
        **ticks(query_tokens),
    )
    return titled(figure, title)


def attention_grid(
    weights: ArrayLike,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    title: str = "Attention weights of all heads",
) -> go.Figure:
    """Every head's heat map in one figure, with a row per layer and a column per head.

    All maps are one image with gaps, since a subplot for each would take seconds to draw.

    Args:
        weights: [layer, head, query, key], each row summing to 1.

    Raises:
        ValueError: the weights do not fit the tokens.
    """
    values = np.asarray(weights, dtype=float)
    _check_shape(values, 4, query_tokens, key_tokens)
    layers, heads, queries, keys = values.shape
    gap = max(1, round(max(queries, keys) / 12))
    rows, columns = [*map(label, query_tokens)], [*map(label, key_tokens)]
    picture = np.full((layers * (queries + gap) - gap, heads * (keys + gap) - gap), np.nan)
    says = np.full(picture.shape, "", dtype=object)
    tokens = np.array([[f"{row} → {column}" for column in columns] for row in rows], dtype=object)
    for layer in range(layers):
        for head in range(heads):
            place = np.s_[
                layer * (queries + gap) : layer * (queries + gap) + queries,
                head * (keys + gap) : head * (keys + gap) + keys,
            ]
            picture[place] = values[layer, head]
            says[place] = np.char.add(f"layer {layer + 1}, head {head + 1}: ", tokens.astype(str))
    figure = _heat_map(picture, says)
    figure.update_xaxes(
        title="head",
        tickvals=[head * (keys + gap) + (keys - 1) / 2 for head in range(heads)],
        ticktext=[str(head + 1) for head in range(heads)],
        constrain="domain",
        showgrid=False,
    )
    figure.update_yaxes(
        title="layer",
        tickvals=[layer * (queries + gap) + (queries - 1) / 2 for layer in range(layers)],
        ticktext=[str(layer + 1) for layer in range(layers)],
        autorange="reversed",
        scaleanchor="x",
        showgrid=False,
    )
    return titled(figure, title)


def head_view(
    weights: ArrayLike,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    title: str = "Attention as lines",
    threshold: float = 0.05,
) -> go.Figure:
    """Lines from query tokens (left) to key tokens (right), with one colour per head.

    Args:
        weights: [head, query, key]; a line is thicker and more opaque the larger its weight.
        threshold: smaller weights get no line; the title says what share of the weight is hidden.

    Raises:
        ValueError: the weights do not fit the tokens.
    """
    values = np.asarray(weights, dtype=float)
    _check_shape(values, 3, query_tokens, key_tokens)
    hidden = values[values < threshold].sum() / max(values.sum(), 1e-12)
    figure = go.Figure()
    levels = 8  # a trace can have only one width and opacity
    for head, links in enumerate(values):
        colour = HEADS[head % len(HEADS)]
        strength = np.ceil(links * levels).astype(int)
        for level in range(1, levels + 1):
            ends = np.argwhere((strength == level) & (links >= threshold))
            if not len(ends):
                continue
            figure.add_scatter(
                x=np.tile([0, 1, None], len(ends)),
                y=np.array([[query, key, np.nan] for query, key in ends]).reshape(-1),
                mode="lines",
                line={"color": colour, "width": 0.5 + 3 * level / levels},
                opacity=0.15 + 0.85 * level / levels,
                hoverinfo="skip",
                legendgroup=str(head),
                showlegend=False,
            )
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="lines",
            line={"color": colour, "width": 3},
            name=f"head {head + 1}",
            legendgroup=str(head),
        )
    for x, tokens, side in ((0, query_tokens, "middle left"), (1, key_tokens, "middle right")):
        figure.add_scatter(
            x=[x] * len(tokens),
            y=list(range(len(tokens))),
            mode="text",
            text=[label(token) for token in tokens],
            textposition=side,
            hoverinfo="skip",
            showlegend=False,
        )
    figure.update_xaxes(
        title="left: the token that looks; right: the token looked at",
        range=[-0.4, 1.4],
        showticklabels=False,
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(autorange="reversed", visible=False)
    title = f"{title} (below {threshold:g} hidden: {hidden:.1%} of the weight)"
    height = max(320, 60 + 24 * max(len(query_tokens), len(key_tokens)))
    return titled(figure, title, legend=0.15, height=height)


def _heat_map(weights: np.ndarray, says: ArrayLike) -> go.Figure:
    """Weights from 0 to 1 as colours; ``says`` holds the hover text of each."""
    return go.Figure(
        go.Heatmap(
            z=weights,
            zmin=0,
            zmax=1,
            colorscale=SEQUENTIAL,
            colorbar={"title": "weight"},
            customdata=says,
            hovertemplate="%{customdata}: %{z:.6f}<extra></extra>",
            hoverongaps=False,
        )
    )


def _check_shape(
    values: np.ndarray, dimensions: int, query_tokens: Sequence[str], key_tokens: Sequence[str]
) -> None:
    if values.ndim != dimensions or values.shape[-2:] != (len(query_tokens), len(key_tokens)):
        names = ["layer", "head", "query", "key"][4 - dimensions :]
        raise ValueError(
            f"weights have shape {values.shape}; expected [{', '.join(names)}] with "
            f"{len(query_tokens)} query tokens and {len(key_tokens)} key tokens"
        )


def query_key_map(
    queries: ArrayLike,
    keys: ArrayLike,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    title: str = "",
) -> go.Figure:
    """One head's queries and keys, projected onto their first two principal directions.

    The directions are not centred: the plane contains the origin, so dot products keep their
    meaning.

    Args:
        queries: [query, d_k]; keys: [key, d_k].
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
    title = f"Queries and keys: {title} ({kept:.0%} of their length squared)"
    return titled(figure, title, legend=0.2)


def ranked_bars(
    names: Sequence[str],
    values: Sequence[float],
    whole: float | None,
    title: str,
    value_title: str,
    reference: str = "",
    head_title: str = "head switched off",
) -> go.Figure:
    """Horizontal bars, the first on top, with a vertical line at ``whole`` unless it is None."""
    figure = go.Figure(
        go.Bar(
            x=list(values),
            # Numbers as coordinates, so that Plotly takes no name for a number or a date.
            y=list(range(len(names))),
            orientation="h",
            marker={"color": HEADS[0]},
            customdata=[label(name) for name in names],
            hovertemplate="%{customdata}: %{x:.1f}<extra></extra>",
        )
    )
    if whole is not None:
        figure.add_vline(
            x=whole,
            line={"color": HEADS[1], "dash": "dash"},
            annotation={"text": f"{label(reference)}: {whole:.1f}", "yref": "paper", "y": 1.02},
            annotation_position="top left",
        )
    figure.update_xaxes(title=label(value_title), range=[0, 105])
    figure.update_yaxes(
        title=head_title,
        **ticks(names),
        autorange="reversed",
    )
    return titled(figure, title, margin={"t": 80}, height=max(260, 130 + 20 * len(names)))


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
        names: of before and after, in the legend.
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
    figure.update_xaxes(title="output token", **ticks(tokens))
    figure.update_yaxes(title="probability", range=[0, 1.02])
    title = "Probability of each output token"
    return titled(figure, title, legend=0.4, barmode="group", height=300)


def evidence_bars(
    tokens: Sequence[str], measures: Mapping[str, ArrayLike], title: str
) -> go.Figure:
    """A row of bars for each measure, over the same tokens; each row has its own unit."""
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
    figure.update_xaxes(**ticks(tokens))
    figure.update_xaxes(title="input token", row=len(measures), col=1)
    height = 130 + 140 * len(measures)
    return titled(figure, title, showlegend=False, height=height, margin={"t": 90})

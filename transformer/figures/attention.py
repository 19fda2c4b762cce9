"""Plotly figures as pure functions of arrays and tokens: for export, notebooks and papers.

Each returns a figure and shows nothing. Tokens are escaped: Plotly renders ``<b>`` or ``<s>``
as markup, and a start token would vanish from its axis.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from transformer.figures.style import label

# Okabe and Ito's colours, told apart by people with any common colour blindness.
COLOURS = {"training": "#999999", "evaluation": "#0072B2"}
BASELINES = ("#D55E00", "#CC79A7", "#009E73")
SEQUENTIAL = "Blues"
HEADS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666", "#000000")


def attention_map(
    weights: ArrayLike,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    title: str = "Attention weights",
    query_title: str = "query: the token that looks",
    key_title: str = "key: the token looked at",
) -> go.Figure:
    """One head's weights as a map: a row a query, a column a key.

    Args:
        weights: [query, key], each row summing to 1.

    Raises:
        ValueError: the weights do not fit the tokens.
    """
    values = np.asarray(weights)
    if values.shape != (len(query_tokens), len(key_tokens)):
        raise ValueError(
            f"weights have shape {values.shape}, but there are {len(query_tokens)} query tokens "
            f"and {len(key_tokens)} key tokens"
        )
    rows, columns = ([label(token) for token in side] for side in (query_tokens, key_tokens))
    figure = go.Figure(
        go.Heatmap(
            z=values,
            zmin=0,
            zmax=1,
            colorscale=SEQUENTIAL,
            colorbar={"title": "weight"},
            customdata=[[[row, column] for column in columns] for row in rows],
            hovertemplate="%{customdata[0]} → %{customdata[1]}: %{z:.6f}<extra></extra>",
        )
    )
    # Places, not tokens, are the coordinates: a token may stand in several places.
    figure.update_xaxes(
        title=key_title, tickvals=list(range(len(columns))), ticktext=columns, constrain="domain"
    )
    figure.update_yaxes(
        title=query_title,
        tickvals=list(range(len(rows))),
        ticktext=rows,
        autorange="reversed",
        scaleanchor="x",
    )
    figure.update_layout(title=label(title), margin={"t": 60})
    return figure


def attention_grid(
    weights: ArrayLike,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    title: str = "Attention weights of all heads",
) -> go.Figure:
    """Every head's map in one figure: a row a layer, a column a head.

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
    figure = go.Figure(
        go.Heatmap(
            z=picture,
            zmin=0,
            zmax=1,
            colorscale=SEQUENTIAL,
            colorbar={"title": "weight"},
            customdata=says,
            hovertemplate="%{customdata}: %{z:.6f}<extra></extra>",
            hoverongaps=False,
        )
    )
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
    figure.update_layout(title=label(title), margin={"t": 60})
    return figure


def head_view(
    weights: ArrayLike,
    query_tokens: Sequence[str],
    key_tokens: Sequence[str],
    title: str = "Attention as lines",
    threshold: float = 0.05,
) -> go.Figure:
    """Lines from each token that looks (left) to those it looks at (right), a colour a head.

    Args:
        weights: [head, query, key]; more weight, a thicker and stronger line.
        threshold: links below it are left out; the title says how much weight that is.

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
    figure.update_layout(
        title=f"{label(title)} (below {threshold:g} hidden: {hidden:.1%} of the weight)",
        legend={"orientation": "h", "y": -0.15, "yanchor": "top"},
        height=max(320, 60 + 24 * max(len(query_tokens), len(key_tokens))),
        margin={"t": 60},
    )
    return figure


def _check_shape(
    values: np.ndarray, dimensions: int, query_tokens: Sequence[str], key_tokens: Sequence[str]
) -> None:
    if values.ndim != dimensions or values.shape[-2:] != (len(query_tokens), len(key_tokens)):
        names = ["layer", "head", "query", "key"][4 - dimensions :]
        raise ValueError(
            f"weights have shape {values.shape}; expected [{', '.join(names)}] with "
            f"{len(query_tokens)} query tokens and {len(key_tokens)} key tokens"
        )


def loss_curves(
    training: Sequence[Sequence[float]],
    evaluation: Sequence[Sequence[float]],
    baselines: Mapping[str, float | None],
    evaluated_on: str = "held-out pairs",
    title: str = "Loss while training",
) -> go.Figure:
    """Loss over steps, with a horizontal line for each baseline.

    Args:
        training, evaluation: points of a step, a loss in nats a token, and whatever follows.
        baselines: name -> loss; one that was not measured is None and left out.
    """
    figure = go.Figure()
    for name, points, mode in (
        ("training", training, "lines"),
        ("evaluation", evaluation, "lines+markers"),
    ):
        figure.add_scatter(
            x=[point[0] for point in points],
            y=[point[1] for point in points],
            mode=mode,
            name="training batches" if name == "training" else label(evaluated_on),
            line={"color": COLOURS[name]},
        )
    steps = [point[0] for point in (*training, *evaluation)] or [0]
    measured = {name: loss for name, loss in baselines.items() if loss is not None}
    for (name, loss), colour, dash in zip(
        measured.items(), BASELINES, ("dash", "dot", "dashdot"), strict=False
    ):
        figure.add_scatter(
            x=[min(steps), max(steps)],
            y=[loss, loss],
            mode="lines",
            name=f"{label(name)}: {loss:.3g}",
            line={"color": colour, "dash": dash},
        )
    figure.update_xaxes(title="step (updates made)")
    figure.update_yaxes(title="loss (nats a token)", rangemode="tozero")
    figure.update_layout(
        title=label(title),
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
        margin={"t": 60},
    )
    return figure


# Told apart by dash as well as by colour; yellow is left out, since it vanishes on white.
RUN_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    *("#000000", "#E69F00", "#56B4E9", "#777777"),
)
RUN_DASHES = (
    *("solid", "8px,4px", "2px,3px", "10px,3px,2px,3px"),
    *("5px,2px", "16px,4px", "9px,3px,2px,3px,2px,3px", "1px,4px"),
)


def run_comparison(
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    baselines: Sequence[tuple[str, float]] = (),
    title: str = "Runs compared",
    x_title: str = "step (updates made)",
    y_title: str = "loss (nats a token)",
    logarithmic_x: bool = False,
    logarithmic_y: bool = False,
) -> go.Figure:
    """The same quantity of several runs on common axes.

    Args:
        curves: (name, points) a run, each point (x, y).
        baselines: (name, y) of horizontal lines.
    """
    figure = go.Figure()
    for place, (name, points) in enumerate(curves):
        figure.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            mode="lines" if len(points) > 1 else "markers",
            name=label(name),
            line={
                "color": RUN_COLOURS[place % len(RUN_COLOURS)],
                "dash": RUN_DASHES[place % len(RUN_DASHES)],
            },
        )
    everywhere = [x for _, points in curves for x, _ in points if x > 0 or not logarithmic_x] or [1]
    for place, (name, y) in enumerate(baselines):
        figure.add_scatter(
            x=[min(everywhere), max(everywhere)],
            y=[y, y],
            mode="lines",
            name=f"{label(name)}: {y:.3g}",
            line={"color": "#555555", "width": 1, "dash": ("dash", "dot", "dashdot")[place % 3]},
        )
    figure.update_xaxes(title=label(x_title), type="log" if logarithmic_x else "linear")
    figure.update_yaxes(title=label(y_title), type="log" if logarithmic_y else "linear")
    if not logarithmic_y:
        figure.update_yaxes(rangemode="tozero")
    figure.update_layout(
        template="plotly_white",
        title=label(title),
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
        showlegend=True,
        margin={"t": 60},
    )
    return figure

"""Plotly figures about one output as it is written, token by token."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from numpy.typing import ArrayLike

from transformer.figures.attention import HEADS
from transformer.figures.style import label


def entropy_lines(
    tokens: Sequence[str], entropies: Mapping[str, ArrayLike], step: int
) -> go.Figure:
    """How undecided each layer is along the output, in bits; the last one is the model.

    Args:
        tokens: of the output. entropies: layer's name -> [position]. step: the one to mark.
    """
    figure = go.Figure()
    places = list(range(len(tokens)))
    last = len(entropies) - 1
    for number, (name, values) in enumerate(entropies.items()):
        figure.add_scatter(
            x=places,
            y=values,
            name=f"{name} (the model)" if number == last else name,
            mode="lines+markers",
            line={
                "color": HEADS[(last - number) % len(HEADS)],
                "width": 3 if number == last else 1.5,
                "dash": "solid" if number == last else "dot",
            },
            customdata=[label(token) for token in tokens],
            hovertemplate="%{customdata}: %{y:.3f} bits<extra>" + label(name) + "</extra>",
        )
    figure.add_vline(x=step, line={"dash": "dash", "width": 1, "color": "#888888"})
    figure.update_xaxes(
        title="output token", tickvals=places, ticktext=[label(token) for token in tokens]
    )
    figure.update_yaxes(title="entropy (bits)", rangemode="tozero")
    figure.update_layout(
        title="How undecided each layer is, step by step",
        height=320,
        margin={"t": 60},
        legend={"orientation": "h", "y": -0.35, "yanchor": "top"},
    )
    return figure

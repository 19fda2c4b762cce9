"""Figures of a checkpoint's card: pure functions, as in :mod:`figures.attention`."""

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from transformer.figures.attention import COLOURS, HEADS


def bars(
    names: Sequence[str],
    values: Sequence[float],
    says: Sequence[str],
    *,
    title: str,
    value_title: str,
    marked: int | None = None,
    highest: float | None = None,
) -> go.Figure:
    """Horizontal bars from top to bottom, each with its value in words beside it.

    Args:
        says: what stands beside each bar.
        marked: the place of a bar that is told apart, by its hatching as well as its colour.
        highest: where the axis ends; None leaves room for what stands beside the longest.
    """
    places = list(range(len(names)))
    told_apart = [place == marked for place in places]
    figure = go.Figure(
        go.Bar(
            x=list(values),
            y=places,
            orientation="h",
            marker={
                "color": [HEADS[1] if one else HEADS[0] for one in told_apart],
                "pattern": {"shape": ["/" if one else "" for one in told_apart]},
            },
            text=[html.escape(text) for text in says],
            textposition="outside",
            cliponaxis=False,
            customdata=[html.escape(name) for name in names],
            hovertemplate="%{customdata}: %{text}<extra></extra>",
        )
    )
    # Room for the words beside the longest bar.
    end = highest if highest is not None else 1.6 * max([*values, 1e-9])
    figure.update_xaxes(title=html.escape(value_title), range=[0, end], nticks=5)
    figure.update_yaxes(
        tickvals=places,
        ticktext=[html.escape(name) for name in names],
        autorange="reversed",
        automargin=True,
    )
    figure.update_layout(
        title=html.escape(title),
        showlegend=False,
        margin={"t": 50, "b": 40, "r": 10},
        height=120 + 28 * len(names),
    )
    return figure


def exact_match_curve(
    points: Sequence[Sequence[float]], untrained: float, evaluated_on: str
) -> go.Figure:
    """Share of right answers over steps, with the untrained model's as a line.

    Args:
        points: (step, share of 1).
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[point[0] for point in points],
        y=[100 * point[1] for point in points],
        mode="lines+markers",
        name=html.escape(evaluated_on),
        line={"color": COLOURS["evaluation"]},
    )
    if points:
        figure.add_scatter(
            x=[points[0][0], points[-1][0]],
            y=[100 * untrained] * 2,
            mode="lines",
            name=f"untrained: {untrained:.1%}",
            line={"color": HEADS[1], "dash": "dash"},
        )
    figure.update_xaxes(title="step (updates made)")
    figure.update_yaxes(title="exact match (%)", range=[-3, 103])
    figure.update_layout(
        title="Exact match while training",
        legend={"orientation": "h", "y": -0.25, "yanchor": "top"},
        margin={"t": 60},
    )
    return figure

"""Curves and bars: losses of one or several runs, exact match, entropies, labelled bars.

Pure functions, as in :mod:`figures.attention`.
"""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from numpy.typing import ArrayLike

from transformer.figures.style import (
    BASELINE_DASHES,
    BASELINES,
    COLOURS,
    HEADS,
    RUN_COLOURS,
    RUN_DASHES,
    add_level,
    label,
    ticks,
    titled,
)

STEPS = "step (updates made)"
LOSS = "loss (nats per token)"


def loss_curves(
    training: Sequence[Sequence[float]],
    evaluation: Sequence[Sequence[float]],
    baselines: Mapping[str, float | None],
    evaluated_on: str = "held-out pairs",
) -> go.Figure:
    """Loss over steps, with a horizontal line for each baseline.

    Args:
        training, evaluation: points (step, loss in nats per token, ...); the rest is ignored.
        baselines: name -> loss; None (not measured) is left out.
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
        measured.items(), BASELINES, BASELINE_DASHES, strict=False
    ):
        said = f"{label(name)}: {loss:.3g}"
        add_level(figure, steps, loss, said, color=colour, dash=dash)
    figure.update_xaxes(title=STEPS)
    figure.update_yaxes(title=LOSS, rangemode="tozero")
    return titled(figure, "Loss while training", legend=0.25)


def run_comparison(
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    baselines: Sequence[tuple[str, float]] = (),
    title: str = "Runs compared",
    x_title: str = STEPS,
    y_title: str = LOSS,
    logarithmic_x: bool = False,
    logarithmic_y: bool = False,
) -> go.Figure:
    """The same quantity of several runs on shared axes.

    Args:
        curves: (name, points) for each run, each point (x, y).
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
        said, dash = f"{label(name)}: {y:.3g}", BASELINE_DASHES[place % 3]
        add_level(figure, everywhere, y, said, color="#555555", width=1, dash=dash)
    figure.update_xaxes(title=label(x_title), type="log" if logarithmic_x else "linear")
    figure.update_yaxes(title=label(y_title), type="log" if logarithmic_y else "linear")
    if not logarithmic_y:
        figure.update_yaxes(rangemode="tozero")
    return titled(figure, title, legend=0.25, template="plotly_white", showlegend=True)


def exact_match_curve(
    points: Sequence[Sequence[float]], untrained: float, evaluated_on: str
) -> go.Figure:
    """Share of right answers over steps, with the untrained model's share as a line.

    Args:
        points: (step, share from 0 to 1).
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[point[0] for point in points],
        y=[100 * point[1] for point in points],
        mode="lines+markers",
        name=label(evaluated_on),
        line={"color": COLOURS["evaluation"]},
    )
    if points:
        ends, said = [points[0][0], points[-1][0]], f"untrained: {untrained:.1%}"
        add_level(figure, ends, 100 * untrained, said, color=HEADS[1], dash="dash")
    figure.update_xaxes(title=STEPS)
    figure.update_yaxes(title="exact match (%)", range=[-3, 103])
    return titled(figure, "Exact match while training", legend=0.25)


def entropy_lines(
    tokens: Sequence[str], entropies: Mapping[str, ArrayLike], step: int
) -> go.Figure:
    """Entropy of each layer's prediction at each output token, in bits; the last is the model's.

    Args:
        tokens: of the output. entropies: layer's name -> [position]. step: the position to mark.
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
    figure.update_xaxes(title="output token", **ticks(tokens))
    figure.update_yaxes(title="entropy (bits)", rangemode="tozero")
    return titled(figure, "How undecided each layer is, step by step", legend=0.35, height=320)


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
    """Horizontal bars from top to bottom, each with a text beside it.

    Args:
        says: the text beside each bar.
        marked: index of a bar to highlight, by hatching as well as by colour.
        highest: end of the value axis; None leaves room for the text beside the longest bar.
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
            text=[label(text) for text in says],
            textposition="outside",
            cliponaxis=False,
            customdata=[label(name) for name in names],
            hovertemplate="%{customdata}: %{text}<extra></extra>",
        )
    )
    # Room for the text beside the longest bar.
    end = highest if highest is not None else 1.6 * max([*values, 1e-9])
    figure.update_xaxes(title=label(value_title), range=[0, end], nticks=5)
    figure.update_yaxes(
        **ticks(names),
        autorange="reversed",
        automargin=True,
    )
    margin = {"t": 50, "b": 40, "r": 10}
    return titled(figure, title, showlegend=False, margin=margin, height=120 + 28 * len(names))


def named_curves(
    curves: Mapping[str, Sequence[Sequence[float]]], x_title: str, y_title: str, title: str
) -> go.Figure:
    """One line with markers for each name; lines differ in dash as well as in colour.

    Args:
        curves: name -> points [x, y].
    """
    figure = go.Figure()
    for (name, points), colour, dash in zip(curves.items(), RUN_COLOURS, RUN_DASHES, strict=False):
        figure.add_scatter(
            x=[point[0] for point in points],
            y=[point[1] for point in points],
            mode="lines+markers",
            name=label(name),
            line={"color": colour, "dash": dash},
        )
    figure.update_xaxes(title=label(x_title))
    figure.update_yaxes(title=label(y_title), rangemode="tozero")
    return titled(figure, title, legend=0.25, height=340)

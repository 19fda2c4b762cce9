"""What the figures share: colours, text that shows exactly as it is, axes of tokens, legends."""

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from transformer.vocabulary.vocabulary import visible

# Okabe and Ito's colours, told apart by people with any common colour blindness.
COLOURS = {"training": "#999999", "evaluation": "#0072B2"}
BASELINES = ("#D55E00", "#CC79A7", "#009E73")
SEQUENTIAL = "Blues"
HEADS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666", "#000000")
# Told apart by dash as well as by colour; yellow is left out, since it vanishes on white.
RUN_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    *("#000000", "#E69F00", "#56B4E9", "#777777"),
)
RUN_DASHES = (
    *("solid", "8px,4px", "2px,3px", "10px,3px,2px,3px"),
    *("5px,2px", "16px,4px", "9px,3px,2px,3px,2px,3px", "1px,4px"),
)
BASELINE_DASHES = ("dash", "dot", "dashdot")


def label(text: str) -> str:
    """Plotly takes ``<b>`` and its like for markup; what is invisible shows by its code."""
    return html.escape(visible(text))


def ticks(names: Sequence[str]) -> dict[str, Any]:
    """An axis with a name at each place: a token may stand in several places, so that places and
    not tokens are the coordinates."""
    return {"tickvals": list(range(len(names))), "ticktext": [label(name) for name in names]}


def titled(figure: go.Figure, title: str, legend: float = 0.0, **layout: Any) -> go.Figure:
    """The figure with its title, and a legend in one row so far under it, if it is to have one."""
    if legend:
        layout["legend"] = {"orientation": "h", "y": -legend, "yanchor": "top"}
    return figure.update_layout({"title": label(title), "margin": {"t": 60}} | layout)


def add_level(figure: go.Figure, ends: Sequence[float], y: float, name: str, **line: Any) -> None:
    """A horizontal line from the least to the greatest of ``ends``."""
    x = [min(ends), max(ends)]
    figure.add_scatter(x=x, y=[y, y], mode="lines", name=name, line=line)

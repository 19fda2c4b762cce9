"""Parts shared by all figures: colours, escaped text, axes of tokens, legends."""

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from transformer.vocabulary.vocabulary import visible

# Okabe and Ito's colours, distinct for people with any common colour blindness.
COLOURS = {"training": "#999999", "evaluation": "#0072B2"}
BASELINES = ("#D55E00", "#CC79A7", "#009E73")
SEQUENTIAL = "Blues"
HEADS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666", "#000000")
# Runs differ in dash as well as in colour; yellow is left out, since it vanishes on white.
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
    """Escape a text for Plotly, which reads ``<b>`` as markup; codes for invisible characters."""
    return html.escape(visible(text))


def ticks(names: Sequence[str]) -> dict[str, Any]:
    """Settings of an axis with a name at each index: coordinates are indices, not tokens, since a
    token may occur several times."""
    return {"tickvals": list(range(len(names))), "ticktext": [label(name) for name in names]}


def titled(figure: go.Figure, title: str, legend: float = 0.0, **layout: Any) -> go.Figure:
    """Set the title, other layout and, unless ``legend`` is 0, a legend at that distance below."""
    if legend:
        layout["legend"] = {"orientation": "h", "y": -legend, "yanchor": "top"}
    return figure.update_layout({"title": label(title), "margin": {"t": 60}} | layout)


def add_level(figure: go.Figure, ends: Sequence[float], y: float, name: str, **line: Any) -> None:
    """Add a horizontal line from the least to the greatest of ``ends``."""
    x = [min(ends), max(ends)]
    figure.add_scatter(x=x, y=[y, y], mode="lines", name=name, line=line)

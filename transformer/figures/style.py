"""Text on a figure that shows exactly as it is."""

import html

from transformer.vocabulary.vocabulary import visible


def label(text: str) -> str:
    """Plotly takes ``<b>`` and its like for markup; what is invisible shows by its code."""
    return html.escape(visible(text))

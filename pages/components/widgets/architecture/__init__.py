"""A model's architecture, drawn with its sizes; its colours are those of the text around it."""

from pages.components.shell.mount import Widget
from transformer.config import TransformerConfig
from transformer.figures.architecture import architecture_svg

WIDGET = Widget("architecture")


def architecture(config: TransformerConfig, *, key: str) -> None:
    """Draw it. A component, since Streamlit takes pictures out of HTML."""
    WIDGET.draw(data={"svg": architecture_svg(config)}, key=key)

"""A model's architecture, drawn with its sizes; its colours are those of the text around it."""

from pages.components.shell.mount import Widget
from transformer.config import TransformerConfig
from transformer.figures.architecture import architecture_svg

WIDGET = Widget("architecture")


def architecture(config: TransformerConfig, *, key: str) -> None:
    """Draw it."""
    picture(architecture_svg(config), key=key)


def picture(svg: str, *, key: str) -> None:
    """Any drawing of ours. A component, since Streamlit takes pictures out of HTML."""
    WIDGET.draw(data={"svg": svg}, key=key)

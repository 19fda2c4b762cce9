"""A drawing of a model's architecture with its sizes, in the colours of the page's theme."""

from pages.components.shell.mount import Widget
from transformer.config import TransformerConfig
from transformer.figures.architecture import architecture_svg

WIDGET = Widget("architecture")


def architecture(config: TransformerConfig, *, key: str) -> None:
    """Draw the architecture."""
    picture(architecture_svg(config), key=key)


def picture(svg: str, *, key: str) -> None:
    """Draw an SVG of ours. A component, because Streamlit removes SVG from HTML."""
    WIDGET.draw(data={"svg": svg}, key=key)

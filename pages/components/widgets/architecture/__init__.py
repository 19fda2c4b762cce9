"""A model's architecture, drawn with its sizes; its colours are those of the text around it."""

from pathlib import Path

from pages.components.shell.mount import component
from transformer.config.architecture import TransformerConfig
from transformer.figures.architecture import architecture_svg

HERE = Path(__file__).parent


def architecture(config: TransformerConfig, *, key: str) -> None:
    """Draw it. A component, since Streamlit takes pictures out of HTML."""
    component(HERE)(data={"svg": architecture_svg(config)}, key=key)

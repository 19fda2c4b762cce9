"""A model's architecture, drawn with its sizes; its colours are those of the text around it."""

from pathlib import Path

from pages.components.mount import component
from transformer.architecture_picture import architecture_svg
from transformer.config import TransformerConfig

HERE = Path(__file__).parent


def architecture(config: TransformerConfig, *, key: str) -> None:
    """Draw it. A component, since Streamlit takes pictures out of HTML."""
    component(HERE)(data={"svg": architecture_svg(config)}, key=key)

"""Custom components from a folder that holds their script and style."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st


@st.cache_resource
def component(folder: Path) -> Callable[..., object]:
    """The component of a folder: NAME/NAME.js and NAME/NAME.css, drawn into one <div class="NAME">.

    Registered once a server; registering it at every rerun would send it to the browser again.
    """
    name = folder.name
    return st.components.v2.component(
        name,
        html=f'<div class="{name}"></div>',
        css=(folder / f"{name}.css").read_text("utf-8"),
        js=(folder / f"{name}.js").read_text("utf-8"),
    )

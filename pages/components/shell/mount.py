"""Custom components from a folder that holds their script and style."""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

SHARED = Path(__file__).parents[1] / "widgets" / "shared" / "element.js"


@st.cache_resource
def component(folder: Path) -> Callable[..., object]:
    """The component of a folder: NAME/NAME.js and NAME/NAME.css, drawn into one <div class="NAME">.

    A long script may be cut into several: element.js, which all components share, and all others
    of the folder go before NAME.js, in the order of their names, and together they are one
    module. They import and export nothing.

    Registered once a server; registering it at every rerun would send it to the browser again.
    """
    name = folder.name
    return st.components.v2.component(
        name,
        html=f'<div class="{name}"></div>',
        css=(folder / f"{name}.css").read_text("utf-8"),
        js=script(folder),
    )


def script(folder: Path) -> str:
    """The shared script and those of a folder as one module."""
    own = folder / f"{folder.name}.js"
    others = sorted(path for path in folder.glob("*.js") if path != own)
    return "\n".join(path.read_text("utf-8") for path in (SHARED, *others, own))

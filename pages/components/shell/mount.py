"""Custom components, each a folder of widgets/ that holds its script and style."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:  # a tenth of a second before the first page is drawn
    from numpy.typing import NDArray

WIDGETS = Path(__file__).parents[1] / "widgets"
SHARED = WIDGETS / "shared"
OUT_OF_LIST = """export default (component) =>
  drawWidget({
    ...component, data: Array.isArray(component.data) ? component.data[0] : component.data
  });
"""


@dataclass(frozen=True)
class Widget:
    """A component: NAME/NAME.js and NAME/NAME.css, drawn into one <div class="NAME">.

    shared: the scripts of widgets/shared/ that it uses; element.js goes to every widget.
    """

    name: str
    shared: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """All its scripts as one module: the shared ones, then those of its folder, NAME.js last.

        They import and export nothing, but that NAME.js exports the function that draws.
        """
        folder = WIDGETS / self.name
        own = folder / f"{self.name}.js"
        others = sorted(path for path in folder.glob("*.js") if path != own)
        shared = [SHARED / f"{name}.js" for name in ("element", *self.shared)]
        return "\n".join(path.read_text("utf-8") for path in (*shared, *others, own))

    @property
    def script_alone(self) -> str:
        """For a page without Streamlit, that imports nothing: its export is a function ``draw``."""
        return inside_script(self._named("draw"))

    @property
    def script_in_streamlit(self) -> str:
        """What is drawn comes in a list: see :meth:`draw`."""
        return f"{self._named('drawWidget')}\n{OUT_OF_LIST}"

    def _named(self, name: str) -> str:
        return self.script.replace("export default function (", f"function {name}(", 1)

    @property
    def style(self) -> str:
        return (WIDGETS / self.name / f"{self.name}.css").read_text("utf-8")

    @property
    def html(self) -> str:
        return f'<div class="{self.name}"></div>'

    def draw(self, *, data: object = None, **arguments: object) -> None:
        """Draw it with Streamlit's arguments for a component: data, key, on_..._change."""
        # In a list: of each value of a dictionary Streamlit asks pandas whether it is a table, and
        # to import pandas takes a fifth of the time to the first answer.
        _registered(self)(data=[data] if isinstance(data, dict) else data, **arguments)


def inside_script(code: str) -> str:
    """Code that cannot end the element it stands in."""
    return code.replace("</", "<\\/")


@st.cache_resource
def _registered(widget: Widget) -> Callable[..., object]:
    """Once a server: registering it at every rerun would send it to the browser again."""
    return st.components.v2.component(
        widget.name, html=widget.html, css=widget.style, js=widget.script_in_streamlit
    )


def pack(header: Mapping[str, object], numbers: "Iterable[NDArray[Any]]") -> bytes:
    """What ``unpack`` of element.js reads: the length of a JSON header, the header, the numbers.

    The header is padded, so that the numbers are aligned to four bytes.

    Args:
        numbers: arrays of the types that the script takes them as, little-endian.
    """
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 4)
    size = len(encoded).to_bytes(4, "little")
    return b"".join([size, encoded, *(part.tobytes() for part in numbers)])

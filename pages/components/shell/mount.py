"""Custom Streamlit components: each is a folder of widgets/ with its script and style."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:  # importing it would delay the first page by 0.1 s
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

    shared: the scripts of widgets/shared/ that it uses; every widget gets element.js, too.
    """

    name: str
    shared: tuple[str, ...] = ()

    @property
    def script(self) -> str:
        """All its scripts as one module: the shared ones, then those of its folder, NAME.js last.

        None imports anything, and only NAME.js exports: the function that draws.
        """
        folder = WIDGETS / self.name
        own = folder / f"{self.name}.js"
        others = sorted(path for path in folder.glob("*.js") if path != own)
        shared = [SHARED / f"{name}.js" for name in ("element", *self.shared)]
        return "\n".join(path.read_text("utf-8") for path in (*shared, *others, own))

    @property
    def script_alone(self) -> str:
        """The script for a page without Streamlit: the export becomes a function ``draw``."""
        return inside_script(self._named("draw"))

    @property
    def script_in_streamlit(self) -> str:
        """The script for Streamlit; it takes the data out of the list of :meth:`draw`."""
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
        # In a list, because Streamlit tests each value of a dictionary with pandas, whose import
        # takes a fifth of the time to the first answer.
        _registered(self)(data=[data] if isinstance(data, dict) else data, **arguments)


def inside_script(code: str) -> str:
    """Code with "</" escaped, so that it cannot close the <script> element around it."""
    return code.replace("</", "<\\/")


@st.cache_resource
def _registered(widget: Widget) -> Callable[..., object]:
    """The registered component, cached: registering at every rerun would send it again."""
    return st.components.v2.component(
        widget.name, html=widget.html, css=widget.style, js=widget.script_in_streamlit
    )


def pack(header: Mapping[str, object], numbers: "Iterable[NDArray[Any]]") -> bytes:
    """Encode for ``unpack`` of element.js: the length of a JSON header, the header, the numbers.

    The header is padded, so that the numbers are aligned to four bytes.

    Args:
        numbers: arrays of the types that the script expects, little-endian.
    """
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 4)
    size = len(encoded).to_bytes(4, "little")
    return b"".join([size, encoded, *(part.tobytes() for part in numbers)])

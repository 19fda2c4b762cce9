"""A button for a file: one that is there already, or that is made when it is asked for."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import streamlit as st

from pages.components.widgets.saved_file import saved_file

TYPES = {
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "md": "text/markdown",
    "py": "text/x-python",
}
ICON = ":material/download:"


def download(
    label: str,
    data: Callable[[], str | bytes] | Path | str | bytes,
    file_name: str,
    *,
    key: str | None = None,
    help: str | None = None,
    icon: str = ICON,
) -> None:
    """Draw it; the file's type follows from the end of its name.

    Args:
        data: what makes the file, as the page is drawn after the click; or a file that may be too
            large to come with a page; or what is in it.
        key: needed where the name may change with what is typed.
    """
    kind = TYPES.get(file_name.rpartition(".")[2], "application/octet-stream")
    if callable(data):
        _made(label, data, file_name, kind, key or f"download {label} {file_name}", help, icon)
        return
    content = data.read_bytes if isinstance(data, Path) else data
    st.download_button(
        label, content, file_name, kind, key=key, help=help, on_click="ignore", icon=icon
    )


def _made(
    label: str,
    make: Callable[[], str | bytes],
    name: str,
    kind: str,
    key: str,
    help: str | None,
    icon: str,
) -> None:
    """A field hands over its text when it is left, and that may be with the click on this button:
    so the file and its name are of the drawing after the click."""
    wanted, state = f"wanted {key}", st.session_state
    st.button(
        label, key=key, help=help, icon=icon, on_click=lambda: state.update({wanted: uuid4().hex})
    )
    if number := state.get(wanted):
        try:
            with st.spinner("Making the file …", show_time=True):
                made = make()
        except Exception:  # said once; not at every drawing that follows
            del state[wanted]
            raise
        content = made.encode() if isinstance(made, str) else made
        # Until the browser has it: another click may end this very drawing of the page.
        saved_file(
            content,
            name,
            kind,
            number=number,
            on_saved=lambda: state.pop(wanted, None),
            key=f"file {key}",
        )

"""A download button for a file that exists, or is made after the click."""

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
    """Draw the button; the file's type follows from its suffix.

    Args:
        data: the content; or a path, for a file too large to be sent with the page; or a function
            that makes the content, called when the page is drawn after the click.
        key: needed if the file's name may change with what is typed.
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
    """Make the file in the run of the page after the click: the same click may have left a text
    field, whose new text arrives only with that run."""
    wanted, state = f"wanted {key}", st.session_state
    st.button(
        label, key=key, help=help, icon=icon, on_click=lambda: state.update({wanted: uuid4().hex})
    )
    if number := state.get(wanted):
        try:
            with st.spinner("Making the file …", show_time=True):
                made = make()
        except Exception:  # shown once, not at every later run of the page
            del state[wanted]
            raise
        content = made.encode() if isinstance(made, str) else made
        # Drawn until the browser has the file: another click may end this run of the page early.
        saved_file(
            content,
            name,
            kind,
            number=number,
            on_saved=lambda: state.pop(wanted, None),
            key=f"file {key}",
        )

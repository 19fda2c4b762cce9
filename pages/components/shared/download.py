"""A button for a file that is made when it is asked for, and does not run the page again."""

from collections.abc import Callable

import streamlit as st

TYPES = {
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "md": "text/markdown",
    "py": "text/x-python",
}


def download(
    label: str,
    data: Callable[[], str | bytes] | str | bytes,
    file_name: str,
    *,
    key: str | None = None,
    help: str | None = None,
) -> None:
    """Draw it; the file's type follows from the end of its name."""
    st.download_button(
        label,
        data,
        file_name,
        TYPES.get(file_name.rpartition(".")[2], "application/octet-stream"),
        key=key,
        help=help,
        on_click="ignore",
        icon=":material/download:",
    )

"""What the files of the list say of themselves, each read once."""

from pathlib import Path

import streamlit as st

from pages.components.shell.session import Listed
from transformer.checkpoint.header import Header, read_header
from transformer.errors import CheckpointError


@st.cache_resource(max_entries=200)
def _header(path: str, stamp: int, size: int) -> Header | None:
    try:
        return read_header(Path(path))[0]
    except CheckpointError:
        return None


def header_of(entry: Listed) -> Header | None:
    """The header of an entry's file; None if it is damaged or gone. Loads no torch."""
    try:
        stat = entry.path.stat()
    except OSError:
        return None
    return _header(str(entry.path), stat.st_mtime_ns, stat.st_size)

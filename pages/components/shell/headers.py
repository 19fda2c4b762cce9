"""What checkpoints say of themselves, each file read once."""

from pathlib import Path

import streamlit as st

from transformer.checkpoint.header import Header, read_header
from transformer.errors import CheckpointError


@st.cache_resource(max_entries=200)
def _header(path: str, stamp: int, size: int) -> Header | None:
    try:
        return read_header(Path(path))[0]
    except CheckpointError:
        return None


def header_of(path: Path) -> Header | None:
    """The header of a checkpoint; None if it is damaged or gone. Loads no torch."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return _header(str(path), stat.st_mtime_ns, stat.st_size)

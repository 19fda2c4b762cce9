"""A model with a fault planted on purpose says so wherever it is shown."""

from pathlib import Path

import streamlit as st

from pages.components.shell.headers import header_of
from transformer.config.faults import is_hidden


def note(fault: str) -> None:
    """Say that a fault is planted, and which, unless it is to be found."""
    if not fault:
        return
    which = "to be found; answer on the Debug page" if is_hidden(fault) else f"`{fault}`"
    st.caption(f":material/bug_report: Planted fault: {which}.")


def note_of(path: Path) -> None:
    """The same of a checkpoint's file."""
    header = header_of(path)
    if header is not None:
        note(header.fault)

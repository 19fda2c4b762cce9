"""What must stand beside a model wherever it is shown: a planted fault, a doubtful import."""

from pathlib import Path

import streamlit as st

from pages.components.shell.headers import facts_of
from transformer.config.faults import is_hidden


def note(fault: str) -> None:
    """Say that a fault is planted, and which, unless it is to be found."""
    if not fault:
        return
    which = "to be found; answer on the Debug page" if is_hidden(fault) else f"`{fault}`"
    st.caption(f":material/bug_report: Planted fault: {which}.")


def note_of(path: Path) -> None:
    """The same of a checkpoint's file, and whether it was ever compared with its original."""
    facts = facts_of(path)
    if facts is None:
        return
    note(facts.fault)
    if not facts.compared:
        st.caption(
            ":material/help: Not compared with its original: what its file did not say is a guess."
        )

"""Warnings beside a model wherever it is shown: a planted fault, an unverified import."""

from pathlib import Path

import streamlit as st

from pages.components.shell.checkpoint_headers import facts_of
from transformer.config.faults import is_hidden


def note(fault: str) -> None:
    """Say that a fault is planted, and which, unless the user has to find it."""
    if not fault:
        return
    which = "to be found; answer on the Debug page" if is_hidden(fault) else f"`{fault}`"
    st.caption(f":material/bug_report: Planted fault: {which}.")


def note_of(path: Path) -> None:
    """:func:`note` for a checkpoint's file, and a warning if an import was never compared with its
    original."""
    facts = facts_of(path)
    if facts is None:
        return
    note(facts.fault)
    if not facts.compared:
        st.caption(
            ":material/help: Not compared with its original: settings missing from its file are "
            "guesses."
        )

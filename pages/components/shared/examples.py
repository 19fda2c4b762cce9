"""The examples that measure the chosen checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shell import models
from transformer.evaluation.held_out import Examples, examples_of, own_pairs

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

HELD_OUT = 200
"""Examples on which exact match is measured."""


def held_out(checkpoint: "Checkpoint") -> Examples:
    """Up to 200 held-out examples of the checkpoint's task; else those in its file."""
    return examples_of(checkpoint, chosen_pairs(), HELD_OUT)


def chosen_pairs() -> Path | None:
    """The pairs of the run that the chosen checkpoint belongs to, if it has its own."""
    entry = models.find(st.session_state.get("checkpoint") or "")
    return own_pairs(entry.path) if entry is not None else None

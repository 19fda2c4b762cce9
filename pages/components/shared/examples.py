"""The examples on which the chosen checkpoint is measured."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shell import models
from transformer.evaluation.held_out import Examples, examples_of, own_pairs

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

HELD_OUT = 200
"""Number of examples on which exact match is measured."""


def held_out(checkpoint: "Checkpoint") -> Examples:
    """Up to HELD_OUT held-out examples of the checkpoint's task; else those in its file."""
    return examples_of(checkpoint, chosen_pairs(), HELD_OUT)


def chosen_pairs() -> Path | None:
    """File of the own pairs of the chosen checkpoint's run; None if it has none."""
    entry = models.find(st.session_state.get("checkpoint") or "")
    return own_pairs(entry.path) if entry is not None else None

"""A run's metrics and samples, read once for all sessions that watch it."""

from pathlib import Path

import streamlit as st

from transformer.runs.directory import Run
from transformer.runs.metrics import History


def history_of(run: Run) -> History:
    """What the run has written so far."""
    # Cached by creation time, too: after a run is deleted, a terminal may reuse its path.
    history = _history(str(run.path.resolve()), run.about()["created"])
    history.update()
    return history


@st.cache_resource(max_entries=50)
def _history(path: str, created: float) -> History:
    return History(Path(path))

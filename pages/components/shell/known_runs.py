"""The runs that this browser may see, with summaries that are read once for all sessions."""

import streamlit as st

from pages.components.shell import browser
from transformer.config.limits import Limits
from transformer.runs import directory
from transformer.runs.directory import Run
from transformer.runs.table import Summaries, Summary


@st.cache_resource
def _summaries(min_interval: float) -> Summaries:
    return Summaries(live_max_age=0.5, min_interval=min_interval)


def known_runs() -> dict[str, tuple[Run, Summary]]:
    """Every run that this browser may see, by id, newest first."""
    # In a class, thirty pages would read all runs several times a second.
    found = _summaries(0.5 if Limits.from_environment().owned else 0.0).of(directory.ROOT)
    is_mine = browser.owner_check()
    return {
        run.id: (run, summary)
        for run, summary in found
        if not summary.private or is_mine(summary.owner)
    }


def own_runs() -> dict[str, tuple[Run, Summary]]:
    """Every run that this browser may control, by id, newest first."""
    is_mine = browser.owner_check()
    return {name: known for name, known in known_runs().items() if is_mine(known[1].owner)}

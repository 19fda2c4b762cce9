"""The runs that this browser may see, with what each came to, read once for all who look."""

import streamlit as st

from pages.components.shell import browser
from transformer.runs import directory
from transformer.runs.directory import Run
from transformer.runs.table import Summaries, Summary


@st.cache_resource
def _summaries() -> Summaries:
    return Summaries(patience=0.5)


def known_runs() -> dict[str, tuple[Run, Summary]]:
    """Every run that this browser may see, by id, newest first."""
    found = _summaries().of(directory.ROOT)
    seen = {run.id for run in browser.visible(run for run, _ in found)}
    return {run.id: (run, summary) for run, summary in found if run.id in seen}

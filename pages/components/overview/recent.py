"""The newest runs, one line each: a link with the result."""

import streamlit as st

from pages.components.shell.clock import when
from pages.components.shell.known_runs import known_runs
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain
from transformer.runs.table import Summary
from transformer.runs.verdict import score_in_words

RECENT = 3


def recent_runs() -> None:
    found = [summary for _, summary in known_runs().values()][:RECENT]
    if not found:
        st.markdown(
            "**Recent runs**: none yet. *Train* makes the first in less than half a minute."
        )
        return
    st.markdown("**Recent runs**")
    with st.container(gap="xxsmall"):
        for summary in found:
            link_to("Train", plain(" · ".join(_words(summary))), {"run": summary.id})


def _words(summary: Summary) -> tuple[str, ...]:
    by = (f"by {summary.author}",) if summary.author else ()
    return (summary.title, *by, _result(summary), when(summary.created))


def _result(summary: Summary) -> str:
    if summary.state != "finished" or summary.exact_match is None:
        return summary.state
    return score_in_words(summary.exact_match, summary.on_training_pairs)

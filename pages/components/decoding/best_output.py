"""The most probable output of all, with proof, to tell whether an error is the search's or the
model's."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.view import View
from pages.components.shared.inspection import LONGEST_OUTPUT
from pages.components.shell.text import probability, verbatim

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.decoding.exact import Exact


def panel(view: View, greedy: Sequence[int]) -> None:
    """Draw a button, and after the click what the exact search found.

    Args:
        greedy: ids of the greedy output, with <eos> if it ended.
    """
    name = (view.checkpoint.header.sha256, view.text)
    if st.session_state.get("best output of") != name:
        if not st.button(
            "Is there a better output? Search all of them",
            icon=":material/manage_search:",
            help="Best first: it ends when no other output can be more probable, or gives up.",
        ):
            return
        st.session_state["best output of"] = name
    with st.spinner("Searching all outputs…"):
        best = _searched(*name, view.checkpoint)
    st.markdown(sentences(view.checkpoint, best, tuple(greedy), view.wanted))


@st.cache_data(max_entries=64, show_spinner=False)
def _searched(sha256: str, text: str, _checkpoint: "Checkpoint") -> "Exact":
    from transformer.decoding.exact import exact_search

    return exact_search(_checkpoint.model, _checkpoint.encode(text), LONGEST_OUTPUT)


def sentences(
    checkpoint: "Checkpoint", best: "Exact", greedy: tuple[int, ...], wanted: tuple[int, ...]
) -> str:
    """The result of the exact search in sentences of Markdown."""
    after = f"after {best.expansions:,} prefixes"
    if not best.tokens:
        return f"**No output with an end was found** {after}."
    written = verbatim(checkpoint.target_vocabulary.decode(best.tokens))
    share = probability(math.exp(best.log_prob))
    if not best.proven:
        return (
            f"**Not proven:** the search gave up {after}. The best it found is {written} "
            f"({share}); the model is too unsure to rule out all others."
        )
    if best.tokens == greedy:
        sentence = (
            f"**There is none.** Nothing that this model can write is more probable than {written} "
            f"({share}): every other output is ruled out {after}."
        )
    else:
        sentence = (
            f"**Yes.** The most probable output of all is {written} ({share}), proven {after}. "
            "Greedy search missed it: a search error."
        )
    if wanted and best.tokens != wanted:
        sentence += " It is wrong: no search can correct that, the error is the model's."
    elif wanted:
        sentence += " It is right."
    return sentence

"""Field for a token that replaces another, for vocabularies of any size."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shared.inspection import visible_tokens
from pages.components.shell import address
from pages.components.shell.text import verbatim
from transformer.vocabulary import Vocabulary
from transformer.vocabulary.entries import Entry, entries, search

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

MOST = 200
"""Maximum number of tokens in the box at once: with 58,000, every click took five seconds."""


@st.cache_resource(max_entries=8)
def _entries(sha256: str, _vocabulary: Vocabulary) -> list[Entry]:
    return [entry for entry in entries(_vocabulary) if entry.kind != "special"]


def choose_token(checkpoint: "Checkpoint", now: int) -> int:
    """Field for another token of the source vocabulary; returns its id, which is in the address.

    From a large vocabulary, the tokens with the most similar embeddings are offered, and a search
    finds any other.
    """
    vocabulary = checkpoint.source_vocabulary
    special = set(vocabulary.special)
    usual = [token for token in range(len(vocabulary)) if token not in special | {now}]
    if not usual:
        return now  # a vocabulary of one token
    large = len(usual) > MOST
    if large:
        from transformer.analysis.what_if import most_alike

        alike = most_alike(checkpoint.model, now, MOST + len(special))
        usual = [token for token in alike if token not in special][:MOST]
    address.read("instead", str(usual[0]))
    chosen = _id(st.session_state["instead"], vocabulary)
    if chosen is None or chosen == now:
        chosen = usual[0]
    options = _searched(checkpoint, now, chosen, usual) if large else usual
    st.session_state["instead"] = str(chosen)
    names = {str(token): visible_tokens(vocabulary.tokens, [token])[0] for token in options}
    picked = st.selectbox("becomes", list(names), format_func=names.__getitem__, key="instead")
    address.write("instead", picked)
    return int(picked)


def _id(text: str, vocabulary: Vocabulary) -> int | None:
    """The id in a text of the address; None if it is no token, or a special one."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    token = int(text)
    return token if token < len(vocabulary) and token not in vocabulary.special else None


def _searched(checkpoint: "Checkpoint", now: int, chosen: int, usual: list[int]) -> list[int]:
    """Draw a search field; the box's options: its hits or the usual ones, and the chosen one."""
    found = _entries(checkpoint.header.sha256, checkpoint.source_vocabulary)

    def hits() -> list[int]:
        text = st.session_state["instead search"]
        return [entry.id for entry in search(found, text) if entry.id != now] if text else []

    def take_best() -> None:
        if best := hits():
            st.session_state["instead"] = str(best[0])

    text = st.text_input(
        "Search for a token",
        key="instead search",
        max_chars=100,
        placeholder=f"any of {len(found):,}",
        on_change=take_best,
    )
    offered = hits()
    if not text:
        st.caption(
            f"The list has the {len(usual)} tokens with the most similar embeddings, nearest first."
        )
    elif not offered:
        st.caption(f"No token of this vocabulary has {verbatim(text)} in it.")
    else:
        more = f"; the best {MOST} are offered" if len(offered) > MOST else ""
        count = f"{len(offered):,} token{' has' if len(offered) == 1 else 's have'}"
        st.caption(f"{count} it{more}.")
    options = offered[:MOST] or usual
    return options if chosen in options else [chosen, *options]

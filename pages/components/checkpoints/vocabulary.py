"""A model's vocabularies: search, and see how a text is cut into tokens."""

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.shared.inputs import short_enough
from pages.components.shell.models import Listed
from pages.components.shell.text import plain
from transformer.errors import VocabularyError
from transformer.vocabulary import Vocabulary
from transformer.vocabulary.entries import Entry, entries, search
from transformer.vocabulary.vocabulary import printable

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

CUT = 200
"""Maximum number of tokens shown of a text that the user has cut into tokens."""


@st.cache_resource(max_entries=8)
def _entries(sha256: str, side: str, _vocabulary: Vocabulary) -> list[Entry]:
    return entries(_vocabulary)


@st.cache_data(max_entries=16)
def _table(sha256: str, side: str, text: str, _found: list[Entry]) -> pd.DataFrame:
    """The tokens found. Cached, since Streamlit sends an identical table only once."""
    return pd.DataFrame(search(_found, text), columns=["Id", "Token", "Kind"])


def panel(entry: Listed, checkpoint: "Checkpoint") -> None:
    """Draw a search field, the table of tokens, and a field for a text to cut."""
    source, target = checkpoint.source_vocabulary, checkpoint.target_vocabulary
    sides = {"source": source, "target": target}
    left, right = st.columns(2, gap="large")
    with left:
        if source == target:
            side = "source"
            st.markdown(f"**{len(source):,} tokens** ({source.kind}), the same for both sides.")
        else:
            side = st.radio(
                "Vocabulary",
                list(sides),
                format_func=lambda one: f"{one}: {len(sides[one]):,} tokens ({sides[one].kind})",
                horizontal=True,
                key="vocabulary side",
            )
        text = st.text_input(
            "Search for a token, an id or a kind", key="vocabulary search", max_chars=100
        )
        sha256 = checkpoint.header.sha256
        found = _entries(sha256, side, sides[side])
        table = _table(sha256, side, text, found)
        st.caption(f"{len(table):,} of {len(found):,}" if text else "In the order of the ids.")
        st.dataframe(table, hide_index=True, height=380, key="vocabulary table")
    with right:
        _cut(sides[side], checkpoint)


def _cut(vocabulary: Vocabulary, checkpoint: "Checkpoint") -> None:
    """Field for a text, and the tokens that it is cut into."""
    examples = checkpoint.header.examples
    text = st.text_input(
        "See how a text is cut into tokens",
        examples[0].source if examples else "",
        key=f"cut {checkpoint.header.sha256}",
    )
    if not text:
        return
    try:
        ids = vocabulary.encode(short_enough(text))
    except VocabularyError as error:
        st.warning(plain(str(error)))
        return
    more = f", the first {CUT} shown" if len(ids) > CUT else ""
    st.caption(f"{len(ids):,} token{'' if len(ids) == 1 else 's'}{more}; <eos> follows.")
    st.dataframe(
        pd.DataFrame(
            {
                "Token": [printable(vocabulary.tokens[number]) for number in ids[:CUT]],
                "Id": ids[:CUT],
            }
        ),
        hide_index=True,
        height=min(380, 36 * (min(len(ids), CUT) + 1)),
    )

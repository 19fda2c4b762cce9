"""Which of a page's panels is open, kept in the address."""

from collections.abc import Mapping

import streamlit as st

from pages.components.shell import address


def choose_panel(label: str, titles: Mapping[str, str], key: str) -> str | None:
    """The chooser; the first panel is open at the start, None where a person has closed all.

    Args:
        titles: on screen, by the panel's name in the address.
        key: of the widget, and the name in the address.
    """
    first = next(iter(titles))
    address.read(key, first)
    if st.session_state[key] not in titles:
        st.session_state[key] = first
    chosen: str | None = st.segmented_control(
        label, list(titles), format_func=titles.__getitem__, key=key
    )
    address.write(key, chosen if chosen and chosen != first else "")
    # What the address leaves out is kept all the same.
    st.session_state[f"kept {key}"] = chosen
    return chosen

"""The code lines of a fault: the right ones beside the wrong ones, drawn alike everywhere."""

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from transformer.faults import Fault


def fault_lines(fault: "Fault", wrong_title: str = "The fault") -> None:
    """Draw right and wrong lines as users write them; one below the other on a narrow page."""
    right, wrong = st.columns(2)
    with right:
        st.caption("As in the paper")
        st.code(fault.right, language=None, wrap_lines=True)
    with wrong:
        st.caption(wrong_title)
        st.code(fault.wrong, language=None, wrap_lines=True)

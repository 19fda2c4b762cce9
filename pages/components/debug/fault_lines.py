"""The lines of a fault, right beside wrong: the same wherever one is shown."""

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from transformer.faults import Fault


def fault_lines(fault: "Fault", wrong_title: str = "The fault") -> None:
    """Both as a person writes them; under each other where the page is narrow."""
    right, wrong = st.columns(2)
    with right:
        st.caption("As in the paper")
        st.code(fault.right, language=None, wrap_lines=True)
    with wrong:
        st.caption(wrong_title)
        st.code(fault.wrong, language=None, wrap_lines=True)

"""My symptom: suspected faults for a symptom in the user's words, each with a ten-second test."""

import streamlit as st

from pages.components.debug.fault_lines import fault_lines
from pages.components.shell import address, session
from pages.components.shell.text import plain

EXAMPLES = (
    "The loss is nearly zero, and generation writes nonsense.",
    "The loss gets stuck and never comes near zero.",
    "Every input gets the same output.",
    "Fluent, but not about the source.",
    "The same input gives another output each time.",
    "Outputs in a batch differ from those of one sentence at a time.",
    "It learns, only slower than it should.",
)
MOST = 5


def panel() -> None:
    """A field for a sentence, chosen or written; then the suspects, likeliest first."""
    address.read("symptom", "")
    given = st.session_state["symptom"] = st.session_state["symptom"] or None
    chosen = st.selectbox(
        "What do you see?",
        EXAMPLES if given in (None, *EXAMPLES) else (given, *EXAMPLES),
        index=None,
        placeholder="Choose a sentence, or write your own",
        accept_new_options=True,
        key="symptom",
    )
    address.write("symptom", chosen or "")
    if not chosen:
        st.caption("The suspects come from about 180 public reports of such bugs.")
        return
    session.wait_for_torch()
    from transformer.doctor.symptoms import suspects

    found = suspects(chosen)[:MOST]
    if not found:
        st.info(
            "No known fault matches these words. Drop a capture under *My model*: it needs no "
            "symptom.",
            icon=":material/search_off:",
        )
        return
    st.caption(
        "The likeliest fault is first. One symptom has many causes: test before you change "
        "anything."
    )
    for number, suspect in enumerate(found, 1):
        fault = suspect.fault
        with st.expander(f"{number}. {plain(fault.title)}", expanded=number == 1):
            st.markdown(f"“{plain(suspect.words)}”")
            st.markdown(plain(fault.why))
            st.markdown(f"**Ten-second test.** {plain(suspect.test)}")
            fault_lines(fault, "As it goes wrong")
            st.markdown(f"**Remedy.** {plain(fault.remedy)}")

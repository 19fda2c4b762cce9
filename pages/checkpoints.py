"""Checkpoints: what is inside, bring one, check, download."""

import streamlit as st

from pages.components import session
from pages.components.card import care, proof
from pages.components.card.panels import panels
from pages.components.checkpoint_card import checkpoint_card
from pages.components.frame import frame
from pages.components.importing.door import door, questions

with frame("Checkpoints", "A trained model in one file: look inside, check it, take it along."):
    care.undo()
    left, right = st.columns([1, 1], gap="large")
    with right:
        door()
    with left:
        entry = session.choose_checkpoint()
    questions()
    if entry is not None:
        checkpoint = session.load(entry)
        with left:
            with st.container(horizontal=True):
                st.download_button(
                    "Download",
                    data=entry.path.read_bytes,  # read when it is asked for
                    file_name=f"{entry.id}.safetensors",
                    mime="application/octet-stream",
                    on_click="ignore",
                    icon=":material/download:",
                )
                check = st.button("Check this checkpoint", type="primary", key="check")
                care.care(entry)
            with st.container(horizontal=True):
                for page, text, icon in (
                    ("pages/attention.py", "Look at its attention", ":material/grid_on:"),
                    ("pages/decode.py", "Decode step by step", ":material/format_list_numbered:"),
                ):
                    st.page_link(page, label=text, icon=icon, query_params={"checkpoint": entry.id})
        if check:
            proof.check(entry)
        proof.proof(entry)
        checkpoint_card(entry, checkpoint)
        panels(entry, checkpoint)
    care.trash()

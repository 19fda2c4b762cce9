"""Checkpoints: what is inside, upload, check, download."""

import streamlit as st

from pages.components import browser, session, uploads
from pages.components.card import care, proof
from pages.components.card.panels import panels
from pages.components.checkpoint_card import checkpoint_card
from pages.components.frame import frame, problem
from transformer.errors import UserError


def take_upload() -> None:
    """Check and keep the uploaded file, and choose it."""
    uploaded = st.session_state["upload"]
    st.session_state.pop("upload problem", None)
    if uploaded is None:
        return
    try:
        session.use_torch()
        kept = uploads.keep(uploaded.name, uploaded.getvalue(), browser.owner())
        st.session_state["checkpoint"] = kept.id
    except UserError as error:
        st.session_state["upload problem"] = error
    except OSError as error:
        sentence = f"The upload could not be kept: {error.strerror}."
        st.session_state["upload problem"] = UserError(sentence)


with frame("Checkpoints", "A trained model in one file: look inside, check it, take it along."):
    care.undo()
    left, right = st.columns([1, 1], gap="large")
    with right:
        st.file_uploader(
            "Upload a checkpoint (.safetensors, as downloaded here)",
            key="upload",
            on_change=take_upload,
        )
        if "upload problem" in st.session_state:
            problem(st.session_state["upload problem"])
    with left:
        entry = session.choose_checkpoint()
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

"""The Checkpoints page: look into a checkpoint, upload, check, download."""

import streamlit as st

from pages.components.checkpoints import actions, verification
from pages.components.checkpoints.card import checkpoint_card
from pages.components.checkpoints.panels import panels
from pages.components.checkpoints.upload import questions, upload_field
from pages.components.shared.download import download
from pages.components.shell import session
from pages.components.shell.frame import frame
from pages.components.shell.sidebar import link_to
from pages.components.widgets.architecture import architecture

with frame("Checkpoints", "A trained model in one file: look inside, check it, take it along."):
    actions.undo()
    left, right = st.columns([1, 1], gap="large")
    with right:
        upload_field()  # before the field that chooses one, which an upload sets
    with left:
        entry = session.choose_checkpoint()
    importing = questions()
    if entry is not None and not importing:
        checkpoint = session.load(entry)
        with left:
            with st.container(horizontal=True):
                download("Download", entry.path, actions.file_name(entry))
                check = st.button("Check this checkpoint", type="primary", key="check")
                actions.edit_menu(entry)
            with st.container(horizontal=True):
                link_to("Attention", "Look at its attention", {"checkpoint": entry.id})
                link_to("Decode", "Decode step by step", {"checkpoint": entry.id})
            if check:
                verification.check(entry)
            verification.proof(entry)
            checkpoint_card(entry, checkpoint)
        with right:
            architecture(checkpoint.config, key="architecture")
        panels(entry, checkpoint)
    actions.trash()

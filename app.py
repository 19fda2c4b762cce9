"""Overview: what this is, alive at first glance. Run it with ``streamlit run app.py``."""

import streamlit as st

from pages.components.overview.answer import SHOWN, answer, recent_runs
from pages.components.shell import current, session
from pages.components.shell.frame import errors_shown, frame

CARDS = (
    ("pages/train.py", "Train", ":material/show_chart:",
     "Pick a task or bring your own pairs, and watch the loss fall against the untrained model."),
    ("pages/attention.py", "Attention", ":material/grid_on:",
     "See where every head looks: encoder, decoder and cross-attention, on your own input."),
    ("pages/decode.py", "Decode", ":material/format_list_numbered:",
     "Step through the output, see each token's rivals, and take another road."),
)  # fmt: skip


def live_answer() -> None:
    """The current model answers; until torch is in, its place is kept."""
    with st.container(key="live-answer", border=True):
        if session.torch_is_ready():
            with errors_shown():
                answer()
        else:
            st.markdown("A trained model is about to answer here: PyTorch loads, about 3 s…")
            wait_for_torch()


@st.fragment(run_every=0.3)
def wait_for_torch() -> None:
    if session.torch_is_ready():
        st.rerun()


current.start_with(SHOWN)
with frame(
    "Transformer Workbench",
    "The encoder-decoder Transformer of *Attention Is All You Need*, built by hand: train it "
    "live, look inside every head, decode step by step, and keep it in a file you can check.",
):
    left, right = st.columns([3, 2], gap="large")
    with left:
        live_answer()
    with right:
        for page, title, icon, text in CARDS:
            with st.container(border=True):
                st.page_link(page, label=f"**{title}**", icon=icon)
                st.caption(text)
        with st.container(border=True):
            recent_runs()

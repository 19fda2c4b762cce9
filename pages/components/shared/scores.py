"""A score in large type, with a number for comparison below it."""

import streamlit as st

HELP = {
    "Loss": "Cross-entropy in nats per token; 0 is perfect.",
    "Exact match": "Share of answers with every token right, written by the model itself.",
    "Tokens right": "Share of tokens right when the true tokens before them are given.",
    "Token error rate": "Edits that turn the outputs into their targets, as a share of the "
    "targets' tokens; 0 is perfect.",
    "BLEU": "Words and phrases shared with the targets (sacrebleu's default); 100 is perfect.",
    "chrF": "Pieces of words shared with the targets (sacrebleu's default); 100 is perfect.",
    "Time": "Wall time of training, evaluations included.",
}


def score(label: str, value: str, comparison: str, where: str = "") -> None:
    """Draw one score; ``where`` says on which pairs it was measured."""
    st.metric(
        label,
        value,
        comparison,
        delta_color="off",
        delta_arrow="off",
        help=f"{HELP[label]} {where}",
        width=140,
    )

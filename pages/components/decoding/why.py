"""Why this token and not that one: what each token read has to do with the lead of one."""

import math

import streamlit as st

from pages.components import address
from pages.components.decoding.chips import source_and_read, tiles
from pages.components.decoding.view import View
from pages.components.inspection import shown
from pages.components.text import verbatim
from transformer.run_history import write_csv

OFFERED = 50
"""Candidates to choose from, the most probable first."""


def panel(view: View) -> None:
    """Two candidates of the step shown, and the tokens that speak for either."""
    import torch

    from transformer.analysis.saliency import saliency

    checkpoint = view.checkpoint
    source, read = source_and_read(view)
    with torch.inference_mode():
        logits = checkpoint.model(source, read[:, : view.step + 1])[0, -1]
    ranked = logits.argsort(descending=True)[:OFFERED].tolist()
    left, right = st.columns(2)
    with left:
        token = _choice(view, "Why", "this", ranked, view.written[view.step], "written here")
    with right:
        closest = next(one for one in ranked if one != token)
        rival = _choice(view, "and not", "not", ranked, closest, "the closest rival")
    if token == rival:
        st.info("A token does not lead itself. Choose two different ones.")
        return
    found = saliency(checkpoint.model, source, read, view.step, token, rival)
    names = shown(checkpoint.target_vocabulary.tokens, [token, rival])
    this, that = map(verbatim, names)
    times = math.exp(min(abs(found.lead), 50))
    st.markdown(
        f"At step {view.step + 1}, {this} is **{_times(times)}** "
        f"{'more' if found.lead >= 0 else 'less'} probable than {that}: its logit is "
        f"{abs(found.lead):.2f} {'higher' if found.lead >= 0 else 'lower'}."
    )
    inputs = shown(checkpoint.source_vocabulary.tokens, source[0].tolist())
    outputs = shown(checkpoint.target_vocabulary.tokens, read[0, : view.step + 1].tolist())
    most = max(abs(found.source).max(), abs(found.read).max(), 1e-12)
    st.markdown(f"Blue, upwards, speaks for {this}; orange, downwards, for {that}.")
    for title, tokens, values in (
        ("The input", inputs, found.source),
        ("The output so far", outputs, found.read),
    ):
        st.markdown(f"**{title}**, {_signed(float(values.sum()))} logits together")
        tiles(
            f"{title}: what each token adds to the lead, in logits",
            tokens,
            [_signed(value) for value in values.tolist()],
            bars=(values / most).tolist(),
        )
    explained = float(found.source.sum() + found.read.sum())
    st.caption(
        "Gradient × input of the difference of the two logits: what a small change of a token's "
        "vector would do, to first order. It misses what is saturated or acts through several "
        f"tokens at once: the shares add up to {_signed(explained)}, the lead is "
        f"{_signed(found.lead)}. To see what really happens without a token, hide it under "
        "*What if*."
    )
    rows = [
        (side, place + 1, name, value)
        for side, tokens, values in (
            ("input", inputs, found.source.tolist()),
            ("output", outputs, found.read.tolist()),
        )
        for place, (name, value) in enumerate(zip(tokens, values, strict=True))
    ]
    st.download_button(
        "Shares (CSV)",
        data=lambda: write_csv(("side", "place", "token", "logits"), rows),
        file_name=f"why-step-{view.step + 1}.csv",
        mime="text/csv",
        on_click="ignore",
    )


def _choice(view: View, label: str, key: str, ranked: list[int], usual: int, what: str) -> int:
    """A candidate of the step; until one is chosen, the usual one, whichever the step is."""
    address.read(key, "")
    tokens = view.checkpoint.target_vocabulary.tokens
    options = ["", *map(str, ranked)]
    if st.session_state[key] not in options:
        st.session_state[key] = ""

    def name(option: str) -> str:
        [token] = shown(tokens, [int(option) if option else usual])
        return token if option else f"{token} ({what})"

    chosen: str = st.selectbox(label, options, format_func=name, key=key)
    address.write(key, chosen)
    return int(chosen) if chosen else usual


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _times(value: float) -> str:
    if value >= 1e6:
        return "over a million times"
    return f"{value:,.0f} times" if value >= 10 else f"{value:.1f} times"

"""Why this token and not that one: how much each token that was read adds to the lead of one."""

import math
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.chips import source_and_read, tiles
from pages.components.decoding.view import View
from pages.components.shared.download import download
from pages.components.shared.inspection import visible_tokens
from pages.components.shell import address
from pages.components.shell.text import decimal, verbatim
from transformer.files import write_csv

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OFFERED = 50
"""Number of candidates to choose from, the most probable first."""


def panel(view: View) -> None:
    """Fields for two candidates of the step shown, and the tokens that favour either."""
    import torch

    from transformer.analysis.attribution import occlusion, saliency

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
    names = visible_tokens(checkpoint.target_vocabulary.tokens, [token, rival])
    this, that = map(verbatim, names)
    times = math.exp(min(abs(found.lead), 50))
    st.markdown(
        f"At step {view.step + 1}, {this} is **{_times(times)}** "
        f"{'more' if found.lead >= 0 else 'less'} probable than {that}: its logit is "
        f"{abs(found.lead):.2f} {'higher' if found.lead >= 0 else 'lower'}."
    )
    hidden = occlusion(checkpoint.model, source, read, view.step, token, rival)
    inputs = visible_tokens(checkpoint.source_vocabulary.tokens, source[0].tolist())
    outputs = visible_tokens(checkpoint.target_vocabulary.tokens, read[0, : view.step + 1].tolist())
    st.markdown(f"Blue, upwards, speaks for {this}; orange, downwards, for {that}.")
    st.markdown("**Hide it and see:** how much of the lead goes with each input token, in logits")
    _row("Input tokens: lead lost without each, in logits", inputs, hidden, abs(hidden).max())
    gone = int(hidden.argmax())
    if hidden[gone] > found.lead > 0:
        st.markdown(
            f"Without {verbatim(inputs[gone])} (input token {gone + 1}) the lead of {this} turns "
            f"into a lead of {that}."
        )
    most = max(abs(found.source).max(), abs(found.read).max())
    st.markdown("**Gradient × input:** what a small change of each token would do, in logits")
    for title, tokens, values in (
        ("the input", inputs, found.source),
        ("the output so far", outputs, found.read),
    ):
        st.markdown(f"{title.capitalize()}, {decimal(float(values.sum()), '+.2f')} together")
        _row(f"Gradient × input of {title}, in logits", tokens, values, most)
    st.caption(_caveat(float(found.source.sum() + found.read.sum()), found.lead))
    rows = [
        (measure, side, place + 1, name, value)
        for measure, side, tokens, values in (
            ("hidden", "input", inputs, hidden.tolist()),
            ("gradient × input", "input", inputs, found.source.tolist()),
            ("gradient × input", "output", outputs, found.read.tolist()),
        )
        for place, (name, value) in enumerate(zip(tokens, values, strict=True))
    ]
    download(
        "Shares (CSV)",
        lambda: write_csv(("measure", "side", "place", "token", "logits"), rows),
        f"why-step-{view.step + 1}.csv",
    )


def _row(label: str, tokens: list[str], values: "NDArray[np.float32]", most: float) -> None:
    """Draw shares of the lead under their tokens; a share of ``most`` has a full bar."""
    tiles(
        label,
        tokens,
        [decimal(value, "+.2f") for value in values.tolist()],
        bars=(values / max(float(most), 1e-12)).tolist(),
    )


def _caveat(explained: float, lead: float) -> str:
    """How far the gradient can be trusted here: the sum of its shares compared with the lead."""
    said = (
        f"This is only the first order: the shares add up to {decimal(explained, '+.2f')}, the "
        f"lead is {decimal(lead, '+.2f')}. "
    )
    if explained * lead < 0 or abs(explained) < abs(lead) / 2:
        return said + (
            "They are far apart: norms undo much of a small change, and saturated attention "
            "hides it. Here, trust what hiding a token shows."
        )
    return said + "If two tokens carry the same information, both measures miss them."


def _choice(view: View, label: str, key: str, ranked: list[int], usual: int, what: str) -> int:
    """Field for a candidate of the step; until the user chooses one, the token ``usual``."""
    tokens = view.checkpoint.target_vocabulary.tokens
    options = ["", *map(str, ranked)]
    address.read(key, "", options)

    def name(option: str) -> str:
        [token] = visible_tokens(tokens, [int(option) if option else usual])
        return token if option else f"{token} ({what})"

    chosen: str = st.selectbox(label, options, format_func=name, key=key)
    address.write(key, chosen)
    return int(chosen) if chosen else usual


def _times(value: float) -> str:
    if value >= 1e6:
        return "over a million times"
    return f"{value:,.0f} times" if value >= 10 else f"{value:.1f} times"

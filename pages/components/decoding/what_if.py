"""What if a source token were replaced or hidden, or a head were forced to look at it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.chips import tiles
from pages.components.decoding.token_choice import choose_token
from pages.components.decoding.view import View, open_at
from pages.components.shared.download import download
from pages.components.shared.inputs import place_box
from pages.components.shared.inspection import LONGEST_OUTPUT, visible_tokens
from pages.components.shell import address
from pages.components.shell.text import full_stop, probability, verbatim
from transformer.files import write_csv

if TYPE_CHECKING:
    from torch import Tensor

    from transformer.analysis.what_if import Forced, WhatIf

CHANGES = {
    "replace": "Change a token",
    "mask": "Hide a token",
    "force": "Force attention",
}
WHEN = {"here": "at this step only", "always": "at every step"}


def panel(view: View) -> None:
    """Fields for a change; then both outputs, and where they first differ."""
    from transformer.analysis.what_if import masked, replaced_token, what_if

    source = view.checkpoint.encode(view.text)
    kind = address.option(st.radio, "What changes", CHANGES, "change", horizontal=True)
    names = visible_tokens(view.checkpoint.source_vocabulary.tokens, source[0].tolist())
    changed: Tensor | None = None
    force: Forced | None = None
    left, middle, right = st.columns(3)
    if kind == "force":
        with left:
            layer, heads = _heads(view)
        with middle:
            place = place_box("looks only at", names, "input_token")
        with right:
            when = address.option(st.radio, "When", WHEN, "when", horizontal=True)
        force = _force(layer, heads, place, view.step if when == "here" else None)
    else:
        with left:
            place = place_box("Token of the input", names, "input_token")
        if kind == "mask":
            changed = masked(view.checkpoint.model, source, place)
        else:
            with middle:
                token = choose_token(view.checkpoint, int(source[0, place]))
            changed = replaced_token(source, place, token)
    found = what_if(
        view.checkpoint.model,
        source,
        changed=changed,
        force=force,
        prefix=view.prefix,
        max_length=min(LONGEST_OUTPUT, 2 * len(view.written) + 10),
    )
    _draw(view, found)
    st.caption(f"{_decoded(view)} {_explain(kind)}")
    with st.container(horizontal=True):
        if kind == "replace" and changed is not None:
            text = view.checkpoint.source_vocabulary.decode(changed[0].tolist())
            st.button(
                "Open the changed input in the steps above",
                on_click=open_at,
                args=(text, view.prefix, found.parts_at or 0),
            )
        download("Both outputs (CSV)", lambda: _csv(view, found), "what-if.csv")


# --- choices ------------------------------------------------------------------------------------


def _heads(view: View) -> tuple[int, tuple[int, ...] | None]:
    """Field for a layer of cross-attention, and one head or all (``2.1`` or ``2`` in the address).

    Returns:
        the layer and its heads, from 0; None means all heads.
    """
    config = view.checkpoint.config
    options: dict[str, tuple[int, tuple[int, ...] | None]] = {}
    for layer in reversed(range(config.num_decoder_layers)):
        options[f"{layer + 1}"] = (layer, None)
        for head in range(config.num_heads):
            options[f"{layer + 1}.{head + 1}"] = (layer, (head,))
    usual = next(iter(options))
    address.read("heads", usual, options)

    def name(option: str) -> str:
        layer, _, head = option.partition(".")
        return f"layer {layer}, head {head}" if head else f"layer {layer}, all heads"

    chosen = st.selectbox("Cross-attention of", list(options), format_func=name, key="heads")
    address.write("heads", chosen)
    return options[chosen]


def _force(layer: int, heads: tuple[int, ...] | None, place: int, position: int | None) -> "Forced":
    from transformer.analysis.what_if import Forced

    return Forced(layer, heads, place, position)


# --- results ------------------------------------------------------------------------------------


def _draw(view: View, found: "WhatIf") -> None:
    from transformer.figures.attention import before_after

    tokens = view.checkpoint.target_vocabulary.tokens
    st.markdown(_finding(view, found))
    # After the first difference, equal positions cannot be compared: all the rest is marked.
    start = len(found.before.tokens) if found.parts_at is None else found.parts_at
    for title, one in (("Before", found.before), ("With the change", found.after)):
        st.markdown(f"**{title}**")
        tiles(
            f"{title}: output tokens with their probabilities",
            visible_tokens(tokens, one.tokens),
            [probability(share) for share in one.probabilities],
            marked=range(start, len(one.tokens)),
        )
    before = visible_tokens(tokens, found.before.tokens)
    st.plotly_chart(
        before_after(
            before,
            found.before.probabilities,
            found.kept.tolist(),
            visible_tokens(tokens, found.preferred),
            names=("before", "with the change"),
        ),
        key="what if",
    )
    lost = [now - then for now, then in zip(found.before.probabilities, found.kept, strict=True)]
    worst = max(range(len(lost)), key=lost.__getitem__)
    st.caption(
        "The probability of each token of the output before, given the same tokens before it. "
        + (
            f"The change costs most at step {worst + 1}, {verbatim(before[worst])}: "
            f"{100 * lost[worst]:.1f} points."
            if lost[worst] >= 0.001
            else "No token loses as much as 0.1 points by the change."
        )
    )


def _finding(view: View, found: "WhatIf") -> str:
    """Both outputs, and the first step at which they differ, in sentences."""
    vocabulary = view.checkpoint.target_vocabulary
    before, after = (vocabulary.decode(one.tokens) for one in (found.before, found.after))
    if found.parts_at is None:
        return f"The model writes {verbatim(before)} with the change, too."
    at = found.parts_at

    def there(one: Sequence[int], shares: Sequence[float]) -> str:
        if at >= len(one):
            return "nothing"
        [token] = visible_tokens(vocabulary.tokens, [one[at]])
        return f"{verbatim(token)} ({probability(shares[at])})"

    return (
        f"With the change the model writes {verbatim(after)} instead of "
        f"{verbatim(before)}{full_stop(before)} They part at "
        f"**step {at + 1}**: {there(found.before.tokens, found.before.probabilities)} becomes "
        f"{there(found.after.tokens, found.after.probabilities)}."
    )


def _decoded(view: View) -> str:
    """How both outputs were decoded, in a sentence."""
    if given := len(view.prefix):
        first = "first token" if given == 1 else f"first {given} tokens"
        return (
            f"Both outputs keep the {first} of your branch, whatever the change, and go on "
            "greedily from there."
        )
    if view.sampling is not None:
        return "Both outputs are decoded greedily; the output above is sampled."
    return "Both outputs are decoded greedily."


def _explain(kind: str) -> str:
    if kind == "replace":
        return "The other input tokens stay as they are."
    if kind == "mask":
        return (
            "Nothing can look at a hidden token, neither the encoder's other positions nor the "
            "decoder: the weights over the others still sum to 1. They keep their positions, so "
            "this is not the same as deleting it."
        )
    return (
        "The forced heads put a weight of 1 on that token and 0 on all others; everything after "
        "them is computed as usual. Other heads and layers may make up for it."
    )


def _csv(view: View, found: "WhatIf") -> bytes:
    tokens = view.checkpoint.target_vocabulary.tokens
    longest = max(len(found.before.tokens), len(found.after.tokens))

    def side(ids: Sequence[int], shares: Sequence[float], at: int) -> tuple[object, object]:
        return (visible_tokens(tokens, [ids[at]])[0], shares[at]) if at < len(ids) else (None, None)

    return write_csv(
        ("step", "before", "probability", "with the change", "probability with it"),
        (
            (
                at + 1,
                *side(found.before.tokens, found.before.probabilities, at),
                *side(found.after.tokens, found.after.probabilities, at),
            )
            for at in range(longest)
        ),
    )

"""Rows of tokens with numbers under them, as HTML that every panel of Decode shares."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.view import View
from pages.components.shell.text import code

if TYPE_CHECKING:
    from torch import Tensor


def source_and_read(view: View) -> "tuple[Tensor, Tensor]":
    """Ids that the encoder and the decoder read on the path shown: [1, source], [1, target]."""
    import torch

    read = [view.checkpoint.config.decoder_start_id, *view.written[:-1]]
    return view.checkpoint.encode(view.text), torch.tensor([read])


def tiles(
    label: str,
    tokens: Sequence[str],
    notes: Sequence[str],
    *,
    marked: Sequence[int] = (),
    bars: Sequence[float] | None = None,
) -> None:
    """Draw a row of tokens.

    Args:
        label: what the row is, for screen readers.
        notes: a formatted number under each token.
        marked: indices of tokens with a dashed frame.
        bars: over each token, from -1 (down, orange) to 1 (up, blue).
    """
    drawn = []
    for place, (token, note) in enumerate(zip(tokens, notes, strict=True)):
        bar = "" if bars is None else _bar(bars[place])
        kind = "tile marked" if place in marked else "tile"
        text = f"<b>{code(token)}</b><small>{escape(note)}</small>"
        drawn.append(f'<span class="{kind}">{bar}{text}</span>')
    st.html(f'<div class="tiles" role="group" aria-label="{escape(label)}">{"".join(drawn)}</div>')


def _bar(value: float) -> str:
    side = "for" if value >= 0 else "against"
    return (
        f'<span class="signed"><i class="{side}" style="height: {50 * abs(value):.1f}%"></i></span>'
    )

"""Rows of tokens with numbers under them, as HTML that every panel of Decode shares."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.decoding.view import View
from pages.components.shell.text import code

if TYPE_CHECKING:
    from torch import Tensor

STYLE = """
<style>
  .row { display: flex; flex-wrap: wrap; gap: 3px; margin: 0.15rem 0 0.6rem; }
  .row .tile { display: flex; flex-direction: column; align-items: center; min-width: 2.3rem;
               padding: 0.1rem 0.3rem; border: 1px solid rgba(128, 128, 128, 0.45);
               border-radius: 4px; font-variant-numeric: tabular-nums; }
  .row .tile b { font-family: "Source Code Pro", monospace; white-space: pre-wrap;
                 overflow-wrap: anywhere; }
  .row .tile small { font-size: 0.72rem; white-space: nowrap; }
  .row .tile.marked { border: 2px dashed #d55e00; }
  .row .signed { position: relative; height: 3.6rem; width: 1.3rem; margin-bottom: 2px;
                 background: linear-gradient(currentColor, currentColor) 0 50% / 100% 1px
                   no-repeat; }
  .row .signed i { position: absolute; left: 15%; width: 70%; border-radius: 1px; }
  .row .signed i.for { bottom: 50%; background: #0072b2; }
  .row .signed i.against { top: 50%; background: #e69f00; }
</style>
"""


def source_and_read(view: View) -> "tuple[Tensor, Tensor]":
    """What the encoder and the decoder read on the road shown: ids, [1, source], [1, target]."""
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
        label: what the row is, for those who do not see it.
        notes: under each token, a number in words.
        marked: places with a dashed frame.
        bars: over each token, from -1 (down, orange) to 1 (up, blue).
    """
    drawn = []
    for place, (token, note) in enumerate(zip(tokens, notes, strict=True)):
        bar = "" if bars is None else _bar(bars[place])
        kind = "tile marked" if place in marked else "tile"
        text = f"<b>{code(token)}</b><small>{escape(note)}</small>"
        drawn.append(f'<span class="{kind}">{bar}{text}</span>')
    st.html(
        f'{STYLE}<div class="row" role="group" aria-label="{escape(label)}">{"".join(drawn)}</div>'
    )


def _bar(value: float) -> str:
    side = "for" if value >= 0 else "against"
    return (
        f'<span class="signed"><i class="{side}" style="height: {50 * abs(value):.1f}%"></i></span>'
    )

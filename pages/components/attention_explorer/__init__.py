"""The grid of all heads and the chosen head, large: one canvas component, drawn in the browser.

The weights travel once, as raw 32-bit floats, so that hovering and choosing a head need no
server and every value shown is exact.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pages.components.address import Told
from pages.components.mount import component

NOTHING_TOLD = Told("", 0)

HERE = Path(__file__).parent


@dataclass(frozen=True)
class AttentionKind:
    """One of the three attentions of a model, for one input.

    weights: [layer, head, query, key]
    query_tokens, key_tokens: what asks and what is looked at, as shown on the axes.
    causal: whether keys after the query are masked, to be drawn as such.
    """

    id: str
    title: str
    weights: NDArray[np.float32]
    query_tokens: Sequence[str]
    key_tokens: Sequence[str]
    causal: bool = False


def pack(kinds: Sequence[AttentionKind], told: Told, compact: bool) -> bytes:
    """What the browser gets: the length of a JSON header, the header, then all weights."""
    header = json.dumps(
        {
            "kinds": [
                {
                    "id": kind.id,
                    "title": kind.title,
                    "shape": kind.weights.shape,
                    "queries": list(kind.query_tokens),
                    "keys": list(kind.key_tokens),
                    "causal": kind.causal,
                }
                for kind in kinds
            ],
            "selected": told.value,
            "turn": told.turn,
            "compact": compact,
        }
    ).encode()
    # Padded so that the floats are aligned to four bytes.
    header += b" " * (-len(header) % 4)
    weights = [np.ascontiguousarray(kind.weights, "<f4").tobytes() for kind in kinds]
    return b"".join([len(header).to_bytes(4, "little"), header, *weights])


def attention_explorer(
    kinds: Sequence[AttentionKind],
    *,
    key: str,
    told: Told = NOTHING_TOLD,
    compact: bool = False,
    on_select: Callable[[], None] | None = None,
) -> None:
    """Draw the explorer.

    Args:
        told: the head to show large, as "kind.layer.head" counted from 0.
        compact: only the large map, without the grid.
        on_select: called when a person chooses a head; its name is then in session state
            under ``key``, as ``["head"]``.
    """
    component(HERE)(
        data=pack(kinds, told, compact),
        key=key,
        on_head_change=on_select or (lambda: None),
        default={"head": told.value},
    )

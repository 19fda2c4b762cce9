"""The attention explorer: a grid of all heads, one of them large, and lines between tokens.

All weights are sent once, as raw 32-bit floats, so that hovering and choosing need no server and
every value shown is exact. Page and script exchange the explorer's state (``place``) in the
format of the address: ``head=cross.0.1&cell=2.3``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pages.components.shell import mount
from pages.components.shell.address import Message
from pages.components.shell.mount import Widget

NO_MESSAGE = Message("", 0)

WIDGET = Widget("attention_explorer", ("colours", "maps", "help"))


@dataclass(frozen=True)
class AttentionKind:
    """One of the three attentions of a model, for one input.

    weights: [layer, head, query, key]
    query_tokens, key_tokens: tokens of rows and columns, as shown on the axes.
    causal: whether keys after the query are masked, and drawn as masked.
    sums: the logarithm of each softmax's denominator, [layer, head, query], which with a weight
        gives the score. Without it no score is shown.
    d_k: width of a head's queries and keys; the root of it divides their product.
    """

    id: str
    title: str
    weights: NDArray[np.float32]
    query_tokens: Sequence[str]
    key_tokens: Sequence[str]
    causal: bool = False
    sums: NDArray[np.float32] | None = None
    d_k: int = 1


@dataclass(frozen=True)
class Side:
    """One model with one input: the side shown, or the side it is compared with.

    label: its name on screen.
    kinds: encoder, decoder, cross.
    labels: head name ("cross.0.1") -> what it does, in a few words.
    findings: head name -> the same in a sentence with its numbers.
    """

    label: str
    kinds: Sequence[AttentionKind]
    labels: Mapping[str, str] = field(default_factory=dict)
    findings: Mapping[str, str] = field(default_factory=dict)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [kind.weights.shape for kind in self.kinds]


def pack(sides: Sequence[Side], message: Message, look_for: str = "") -> bytes:
    """The message to the browser: a header, then all weights."""
    header = {
        "sides": [_side(side) for side in sides],
        "labels": dict(sides[0].labels),
        "findings": dict(sides[0].findings),
        "noDifference": _why_no_difference(sides),
        "place": message.value,
        "turn": message.turn,
        "lookFor": look_for,
    }
    kinds = [kind for side in sides for kind in side.kinds]
    weights = [kind.weights for kind in kinds]
    sums = [kind.sums for kind in kinds if kind.sums is not None]
    return mount.pack(header, (part.astype("<f4", copy=False) for part in (*weights, *sums)))


def _why_no_difference(sides: Sequence[Side]) -> str:
    """Why the maps cannot be subtracted cell by cell; empty if they can."""
    one, other = sides[0].shapes, sides[-1].shapes
    reasons = []
    if [shape[:2] for shape in one] != [shape[:2] for shape in other]:
        reasons.append("in the number of layers or heads")
    if [shape[2:] for shape in one] != [shape[2:] for shape in other]:
        reasons.append("in the length of what they read or write")
    return f"No difference is drawn: the two differ {' and '.join(reasons)}." if reasons else ""


def _side(side: Side) -> dict[str, object]:
    """A side's part of the header. Without a decoder's map, "read" is empty."""
    by_id = {kind.id: kind for kind in side.kinds}
    return {
        "label": side.label,
        "source": list(by_id["cross"].key_tokens),
        "written": list(by_id["cross"].query_tokens),
        "read": list(by_id["decoder"].key_tokens) if "decoder" in by_id else [],
        "kinds": [
            {
                "id": kind.id,
                "title": kind.title,
                "shape": kind.weights.shape,
                "queries": list(kind.query_tokens),
                "keys": list(kind.key_tokens),
                "causal": kind.causal,
                "hasSums": kind.sums is not None,
                "dK": kind.d_k,
            }
            for kind in side.kinds
        ],
    }


def attention_explorer(
    sides: Sequence[Side],
    *,
    key: str,
    message: Message = NO_MESSAGE,
    look_for: str = "",
    on_place: Callable[[], None] | None = None,
    on_numbers: Callable[[], None] | None = None,
) -> None:
    """Draw the explorer.

    Args:
        sides: one, or two to compare.
        message: the state to show, as ``head=…&cell=…``; applied when its turn is new.
        look_for: what the task's attention should show, in a sentence or two.
        on_place: called when the user changes the state; session state under ``key`` then has it
            as ``["place"]``, in the format of ``message``.
        on_numbers: called when the user asks for all numbers of a cell; ``["numbers"]`` is then
            the state with that cell.
    """
    WIDGET.draw(
        data=pack(sides, message, look_for),
        key=key,
        on_place_change=on_place or (lambda: None),
        on_numbers_change=on_numbers or (lambda: None),
        default={"place": message.value},
    )

"""Parts shared by all drawings like the paper's figure 1: names, colours, columns of boxes.

Drawings grow from the bottom up, as data flows. ``up`` is a height above the bottom; an SVG's y
axis points down, so it is written as ``-up``. Loads no torch.
"""

import html
from dataclasses import dataclass, field

COLOURS = {
    "embedding": "#CC79A7",
    "attention": "#E69F00",
    "feed-forward": "#56B4E9",
    "norm": "#F0E442",
    "output": "#009E73",
}
"""Okabe and Ito's colours by kind of box; each box is also labelled in words."""
PARTS = {
    "self": ("attention", "Self-attention"),
    "cross": ("attention", "Cross-attention"),
    "feed-forward": ("feed-forward", "Feed-forward"),
}
AROUND = 8
"""Pixels between a box and the residual connection that goes around it."""


def sublayer_of(stack: str, sublayer: str) -> tuple[str, str]:
    """A sub-layer's kind, and its title in the drawing.

    Args:
        stack: "encoder" or "decoder". sublayer: one of PARTS.
    """
    kind, title = PARTS[sublayer]
    return kind, f"Masked {title.lower()}" if (stack, sublayer) == ("decoder", "self") else title


def head(x: float, up: float, way: str) -> str:
    """The head of an arrow that ends at (x, up); ``way`` is "right", else it points up."""
    path = (
        f"M{x - 6} {-up - 3.5}L{x} {-up}L{x - 6} {-up + 3.5}z"
        if way == "right"
        else f"M{x - 3.5} {-up + 6}L{x} {-up}L{x + 3.5} {-up + 6}z"
    )
    return f'<path d="{path}" fill="currentColor" stroke="none"/>'


def label(
    x: float,
    up: float,
    text: str,
    *,
    size: int = 12,
    bold: bool = False,
    turn: bool = False,
    white: bool = False,
    kind: str = "",
) -> str:
    """Text centred on x; ``kind`` is a CSS class for the page's style sheet."""
    weight = ' font-weight="600"' if bold else ""
    turned = f' transform="rotate(-90 {x} {-up})"' if turn else ""
    named = f' class="{kind}"' if kind else ""
    colour = "#ffffff" if white else "currentColor"
    return (
        f'<text x="{x}" y="{-up}" font-size="{size}"{weight}{turned}{named} text-anchor="middle" '
        f'fill="{colour}" stroke="none">{html.escape(text)}</text>'
    )


def memory(encoder: "Column", top: float, decoder: "Column", cross: float) -> str:
    """The arrow from the encoder's output, at height ``top``, to the decoder's cross-attention."""
    between, end = decoder.left - 17, decoder.left - 1
    path = f"M{encoder.middle} {-top}v-12H{between}V{-cross}H{end}"
    return f'<path d="{path}" stroke-width="1.6"/>{head(end, cross, "right")}'


@dataclass
class Column:
    """A column of boxes, drawn from the bottom up.

    up: height at which the next box starts. air: length of an arrow between two boxes.
    """

    left: float
    width: float
    air: float
    up: float = 4
    lines: list[str] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.left + self.width / 2

    def text(self, text: str) -> None:
        self.lines.append(label(self.middle, self.up + 4, text))
        self.up += 18

    def arrow(self, length: float = 0) -> None:
        """Draw an arrow to the next box; one shorter than ``air`` is a line without a head."""
        length = length or self.air
        self.lines.append(f'<path d="M{self.middle} {-self.up}v{2 - length}"/>')
        self.up += length
        if length >= self.air:
            self.lines.append(head(self.middle, self.up, "up"))

    def residual(self, before: float, after: float, end: float) -> None:
        """Draw a residual connection from height ``before`` to ``after``, ending at x = ``end``."""
        path = f"M{self.middle} {-before}H{self.left - AROUND}V{-after}H{end}"
        self.lines.append(f'<path d="{path}" stroke-opacity=".6"/>{head(end, after, "right")}')

"""A model drawn like the paper's figure 1, with its sizes, as SVG from the config alone.

The drawing takes the colour of the text around it, so it follows light and dark themes, and has a
description in words. Loads no torch.
"""

import html
from dataclasses import dataclass, field

from transformer.config import TransformerConfig
from transformer.figures.figure_1 import COLOURS, Column, label, memory, sublayer_of

WIDTH = 440
COLUMN = 176
ENCODER, DECODER = 22, 234
"""Left edges of the two columns of boxes."""
BOX, THIN, GAP, AIR = 42, 24, 8, 16
"""Heights of a box with two lines and with one, of a short gap within a sub-layer, and of an
arrow between boxes."""
PLUS = 9
"""Radius of the circle in which a residual connection is added."""
HIGHLIGHT_COLOUR = "#A63600"
"""Darkened vermilion of the highlighted box: white text on it has a contrast of 7."""


@dataclass(frozen=True)
class Highlight:
    """The highlighted box.

    place: "source", "target" or "output"; a sub-layer such as "encoder.self", "decoder.cross" or
        "decoder.feed-forward", or its ".norm" or ".residual"; or a side's "source.positions".
    said: a word or two, shown in the box in place of its sizes.
    """

    place: str
    said: str


LAYOUTS = {
    "interleaved": "sines and cosines",
    "halves": "all sines before all cosines",
    "learned": "one learned table per side",
    "none": "none: nothing is added",
}


def architecture_words(config: TransformerConfig) -> str:
    """The drawing described in sentences: its text alternative."""
    orders = {
        "before" if config.norms_first(stack) else "after": stack
        for stack in ("decoder", "encoder")
    }
    norm = " and ".join(
        order if len(orders) == 1 else f"{order} (in the {stack})"
        for order, stack in reversed(orders.items())
    )
    ends = [stack for stack in ("encoder", "decoder") if config.norm_after(stack)]
    once = "each stack" if len(ends) == 2 else f"the {ends[0]}" if ends else ""
    widths = {f"{config.feed_forward_width(stack):,}" for stack in ("encoder", "decoder")}
    shared = "one embedding for both sides" if config.share_embeddings else "two embeddings"
    tied = "is the target embedding again" if config.tie_embeddings else "has its own weights"
    return (
        f"Encoder-decoder Transformer with {config.num_parameters:,} parameters. "
        f"Encoder: {_layers(config.num_encoder_layers)} of self-attention and feed-forward. "
        f"Decoder: {_layers(config.num_decoder_layers)} of masked self-attention, cross-attention "
        f"to the encoder's output, and feed-forward. "
        f"d_model {config.d_model:,}; {_heads(config)}; d_ff {' and '.join(sorted(widths))} with "
        f"{config.activation}; LayerNorm {norm} each sub-layer"
        f"{f', and once more after {once}' if once else ''}"
        f"{', and of what enters each stack' if config.embedding_norm else ''}. "
        f"Vocabulary: {config.source_vocab_size:,} source and {config.target_vocab_size:,} target "
        f"tokens, {shared}; the output projection {tied}. "
        f"Positions: {config.max_length:,}, {LAYOUTS[config.position_layout]}."
    )


def _layers(count: int) -> str:
    return f"{count} layer{'' if count == 1 else 's'}"


def _heads(config: TransformerConfig) -> str:
    plural = "" if config.num_heads == 1 else "s"
    return f"{config.num_heads} head{plural} × d_k {config.d_k}"


def architecture_svg(config: TransformerConfig, highlight: Highlight | None = None) -> str:
    """The drawing as an ``<svg>`` element for a page, which shrinks with the page."""
    words = architecture_words(config)
    if highlight is not None:
        words = f"Standing out: {highlight.place.replace('.', ' ')}, {highlight.said}. {words}"
    encoder, decoder = (_stack(config, stack, highlight) for stack in ("encoder", "decoder"))
    decoder.arrow()
    what = "target embedding again" if config.tie_embeddings else "weights of its own"
    bias = " + bias" if config.output_bias else ""
    output = decoder.box(
        "output",
        f"Linear {config.d_model:,} → {config.target_vocab_size:,}",
        what + bias,
        "output",
    )
    decoder.arrow()
    decoder.thin("output", "Softmax", "output.softmax")
    decoder.arrow()
    decoder.text("probabilities of the next token")

    height = decoder.up + 4
    # A little below the middle, since the residual connection ends nearby.
    between = memory(encoder, encoder.up, decoder, decoder.middles["cross"] - 6)
    lines = [*encoder.lines, *decoder.lines, between]
    if config.share_embeddings:
        middle = (encoder.middles["embedding"] + decoder.middles["embedding"]) / 2
        lines.append(_dashed(f"M{ENCODER + COLUMN} {-middle}H{DECODER}"))
        lines.append(label((ENCODER + COLUMN + DECODER) / 2, middle + 6, "shared", size=10))
    if config.tie_embeddings:
        right, embedding = DECODER + COLUMN, decoder.middles["embedding"]
        lines.append(_dashed(f"M{right} {-embedding}h14V{-output}h-14"))
        turned = (embedding + output) / 2
        lines.append(label(right + 24, turned, "tied", size=10, turn=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {-height} {WIDTH} {height}" '
        f'width="{WIDTH}" role="img" '
        f'aria-label="{html.escape(words)}" '
        'style="max-width:100%;height:auto;font-family:inherit" fill="none" '
        'stroke="currentColor" stroke-width="1">'
        f"{''.join(lines)}</svg>"
    )


def _stack(config: TransformerConfig, stack: str, highlight: Highlight | None) -> "_Column":
    """A side's embedding and layers, from the bottom up."""
    source = stack == "encoder"
    side, left = ("source", ENCODER) if source else ("target", DECODER)
    tokens = config.source_vocab_size if source else config.target_vocab_size
    layers = config.num_encoder_layers if source else config.num_decoder_layers
    column = _Column(left, highlight=highlight)
    column.text("source tokens" if source else "target tokens so far")
    column.arrow()
    sizes = f"{tokens:,} tokens × {config.d_model:,}"
    column.middles["embedding"] = column.box("embedding", "Embedding", sizes, side)
    column.arrow()
    if config.position_layout != "none":
        column.thin("", f"+ positions, up to {config.max_length:,}", f"{side}.positions")
        column.arrow()
    if config.embedding_norm:
        column.thin("norm", "Norm")
        column.arrow()
    start = column.open_stack()
    for sublayer in ("self", "feed-forward") if source else ("self", "cross", "feed-forward"):
        column.middles[sublayer] = _sublayer(column, config, stack, sublayer)
    column.close_stack(start, _layers(layers))
    if config.norm_after(stack):
        column.arrow()
        column.thin("norm", "Norm")
    return column


def _sublayer(column: "_Column", config: TransformerConfig, stack: str, sublayer: str) -> float:
    """Draw a sub-layer with its norm and residual connection; returns the height of its middle."""
    kind, title = sublayer_of(stack, sublayer)
    name, before = f"{stack}.{sublayer}", column.up - AIR / 2
    sizes, width = _heads(config), config.feed_forward_width(stack)
    if sublayer == "feed-forward":
        sizes = f"{config.d_model:,} → {width:,} → {config.d_model:,}, {config.activation}"
    if config.norms_first(stack):
        column.thin("norm", "Norm", f"{name}.norm")
        column.arrow(GAP)
        middle = column.box(kind, title, sizes, name)
        column.arrow(GAP)
        column.residual(before, column.plus(f"{name}.residual"), column.middle - PLUS)
    else:
        middle = column.box(kind, title, sizes, name)
        column.arrow(GAP)
        add = column.thin("norm", "Add and norm", f"{name}.norm", f"{name}.residual")
        column.residual(before, add, column.left)
    column.arrow()
    return middle


def _dashed(path: str) -> str:
    return f'<path d="{path}" stroke-dasharray="4 3"/>'


@dataclass
class _Column(Column):
    """A column with boxes of one or two lines, one of which may be highlighted.

    middles: heights of the middles of the embedding and of each sub-layer.
    """

    width: float = COLUMN
    air: float = AIR
    highlight: Highlight | None = None
    middles: dict[str, float] = field(default_factory=dict)

    def box(self, kind: str, title: str, sizes: str, name: str) -> float:
        """Draw a box with a title and sizes; returns the height of its middle."""
        highlighted = self._frame(kind, BOX, name)
        said = self.highlight.said if highlighted and self.highlight is not None else sizes
        self.lines.append(
            label(self.middle, self.up + 25, title, size=13, bold=True, white=highlighted)
        )
        self.lines.append(
            label(self.middle, self.up + 9, said, bold=highlighted, white=highlighted)
        )
        self.up += BOX
        return self.up - BOX / 2

    def thin(self, kind: str, text: str, *names: str) -> float:
        """Draw a box with one line; returns the height of its middle."""
        highlighted = self._frame(kind, THIN, *names)
        self.lines.append(
            label(self.middle, self.up + 8, text, bold=highlighted, white=highlighted)
        )
        self.up += THIN
        return self.up - THIN / 2

    def plus(self, name: str) -> float:
        """Draw the circle of a residual connection's sum; returns the height of its middle."""
        middle, highlighted = self.up + PLUS, self._is_highlighted(name)
        fill = f' class="lit" fill="{HIGHLIGHT_COLOUR}" stroke-width="3"' if highlighted else ""
        self.lines.append(f'<circle cx="{self.middle}" cy="{-middle}" r="{PLUS}"{fill}/>')
        self.lines.append(label(self.middle, middle - 5, "+", size=15, white=highlighted))
        self.up += 2 * PLUS
        return middle

    def _is_highlighted(self, *names: str) -> bool:
        return self.highlight is not None and self.highlight.place in names

    def _frame(self, kind: str, height: float, *names: str) -> bool:
        """Draw a box's frame if it has a kind or is highlighted; returns the latter."""
        highlighted = self._is_highlighted(*names)
        if kind or highlighted:
            look = (
                f'class="lit" fill="{HIGHLIGHT_COLOUR}" stroke-width="3"'
                if highlighted
                else f'fill="{COLOURS[kind]}" fill-opacity=".25" stroke-opacity=".6"'
            )
            self.lines.append(
                f'<rect x="{self.left}" y="{-self.up - height}" width="{COLUMN}" '
                f'height="{height}" rx="5" {look}/>'
            )
        return highlighted

    def open_stack(self) -> float:
        """Begin the frame of a stack; what is drawn until ``close_stack`` is one layer."""
        start = self.up
        self.arrow()
        return start

    def close_stack(self, start: float, layers: str) -> None:
        height = self.up - start + 18
        self.lines.append(
            f'<rect x="{self.left - 15}" y="{-self.up - 18}" width="{COLUMN + 22}" '
            f'height="{height}" rx="9" stroke-opacity=".35"/>'
        )
        self.lines.append(label(self.left + COLUMN - 26, self.up + 4, layers, bold=True))
        self.lines.append(f'<path d="M{self.middle} {-self.up}v-18"/>')
        self.up += 18

"""A model drawn as in the paper's figure 1, with its own sizes on it: SVG, from the config alone.

The picture takes the colour of the text around it, so that it follows a light and a dark theme, and
says in words what it shows. Loads no torch.
"""

import html
from dataclasses import dataclass

from transformer.config import TransformerConfig
from transformer.figures.figure_1 import COLOURS, Column, label, memory, sublayer_of

WIDTH = 440
COLUMN = 176
ENCODER, DECODER = 22, 234
"""Left edges of the two columns of boxes."""
BOX, THIN, GAP, AIR = 42, 24, 8, 16
"""Heights of a box with two lines and with one, and of what is between boxes and sub-layers."""
PLUS = 9
"""Radius of the circle in which a residual connection is added."""
LIT = "#A63600"
"""Vermilion, darkened: white on it has a contrast of 7."""


@dataclass(frozen=True)
class Lit:
    """The box that stands out.

    place: "source", "target" or "output"; a sub-layer such as "encoder.self", "decoder.cross" or
        "decoder.feed-forward", with ".norm" or ".residual" for what is around it; or a side's
        "source.positions". said: what of it, in a word or two.
    """

    place: str
    said: str


LAYOUTS = {
    "interleaved": "sines and cosines",
    "halves": "all sines before all cosines",
    "learned": "a learned table a side",
    "none": "none: nothing is added",
}


def architecture_words(config: TransformerConfig) -> str:
    """What the picture shows, in sentences: its text alternative."""
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
    tied = "is the target embedding again" if config.tie_embeddings else "has weights of its own"
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


def architecture_svg(config: TransformerConfig, lit: Lit | None = None) -> str:
    """The picture as an ``<svg>`` element, to be put into a page, where it shrinks with it."""
    words = architecture_words(config)
    if lit is not None:
        words = f"Standing out: {lit.place.replace('.', ' ')}, {lit.said}. {words}"
    encoder = _Column(ENCODER, lit=lit)
    encoder.text("source tokens")
    encoder.arrow()
    source_embedding = encoder.box(
        "embedding",
        "Embedding",
        f"{config.source_vocab_size:,} tokens × {config.d_model:,}",
        "source",
    )
    _positions(encoder, config, "source.positions")
    _embedding_norm(encoder, config)
    start = encoder.open_stack()
    _sublayer(encoder, config, "encoder", "self", _heads(config))
    _sublayer(encoder, config, "encoder", "feed-forward", _feed_forward(config, "encoder"))
    encoder.close_stack(start, _layers(config.num_encoder_layers))
    if config.norm_after("encoder"):
        encoder.arrow()
        encoder.thin("norm", "Norm")
    top_of_encoder = encoder.up

    decoder = _Column(DECODER, lit=lit)
    decoder.text("target tokens so far")
    decoder.arrow()
    target_embedding = decoder.box(
        "embedding",
        "Embedding",
        f"{config.target_vocab_size:,} tokens × {config.d_model:,}",
        "target",
    )
    _positions(decoder, config, "target.positions")
    _embedding_norm(decoder, config)
    start = decoder.open_stack()
    _sublayer(decoder, config, "decoder", "self", _heads(config))
    cross = _sublayer(decoder, config, "decoder", "cross", _heads(config))
    _sublayer(decoder, config, "decoder", "feed-forward", _feed_forward(config, "decoder"))
    decoder.close_stack(start, _layers(config.num_decoder_layers))
    if config.norm_after("decoder"):
        decoder.arrow()
        decoder.thin("norm", "Norm")
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
    # A little below the middle: the residual connection ends nearby.
    between = memory(encoder, top_of_encoder, decoder, cross - 6)
    lines = [*encoder.lines, *decoder.lines, between]
    if config.share_embeddings:
        middle = (source_embedding + target_embedding) / 2
        lines.append(_dashed(f"M{ENCODER + COLUMN} {-middle}H{DECODER}"))
        lines.append(label((ENCODER + COLUMN + DECODER) / 2, middle + 6, "shared", size=10))
    if config.tie_embeddings:
        right = DECODER + COLUMN
        lines.append(_dashed(f"M{right} {-target_embedding}h14V{-output}h-14"))
        turned = (target_embedding + output) / 2
        lines.append(label(right + 24, turned, "tied", size=10, turn=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {-height} {WIDTH} {height}" '
        f'width="{WIDTH}" role="img" '
        f'aria-label="{html.escape(words)}" '
        'style="max-width:100%;height:auto;font-family:inherit" fill="none" '
        'stroke="currentColor" stroke-width="1">'
        f"{''.join(lines)}</svg>"
    )


def _feed_forward(config: TransformerConfig, stack: str) -> str:
    width = config.feed_forward_width(stack)
    return f"{config.d_model:,} → {width:,} → {config.d_model:,}, {config.activation}"


def _embedding_norm(column: "_Column", config: TransformerConfig) -> None:
    if config.embedding_norm:
        column.thin("norm", "Norm")
        column.arrow()


def _positions(column: "_Column", config: TransformerConfig, name: str) -> None:
    column.arrow()
    if config.position_layout != "none":
        column.thin("", f"+ positions, up to {config.max_length:,}", name)
        column.arrow()


def _sublayer(
    column: "_Column", config: TransformerConfig, stack: str, sublayer: str, sizes: str
) -> float:
    """One sub-layer with its norm and its residual connection; where its middle is, from below."""
    kind, title = sublayer_of(stack, sublayer)
    name, before = f"{stack}.{sublayer}", column.up - AIR / 2
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
    """With boxes of one line or two, one of which may stand out."""

    width: float = COLUMN
    air: float = AIR
    lit: Lit | None = None

    def box(self, kind: str, title: str, sizes: str, name: str) -> float:
        """A box with a title and sizes; returns where its middle is."""
        lit = self._frame(kind, BOX, name)
        said = self.lit.said if lit and self.lit is not None else sizes
        self.lines.append(label(self.middle, self.up + 25, title, size=13, bold=True, white=lit))
        self.lines.append(label(self.middle, self.up + 9, said, bold=lit, white=lit))
        self.up += BOX
        return self.up - BOX / 2

    def thin(self, kind: str, text: str, *names: str) -> float:
        """A box with one line; returns where its middle is."""
        lit = self._frame(kind, THIN, *names)
        self.lines.append(label(self.middle, self.up + 8, text, bold=lit, white=lit))
        self.up += THIN
        return self.up - THIN / 2

    def plus(self, name: str) -> float:
        """Where a residual connection is added; returns where its middle is."""
        middle, lit = self.up + PLUS, self._is_lit(name)
        fill = f' class="lit" fill="{LIT}" stroke-width="3"' if lit else ""
        self.lines.append(f'<circle cx="{self.middle}" cy="{-middle}" r="{PLUS}"{fill}/>')
        self.lines.append(label(self.middle, middle - 5, "+", size=15, white=lit))
        self.up += 2 * PLUS
        return middle

    def _is_lit(self, *names: str) -> bool:
        return self.lit is not None and self.lit.place in names

    def _frame(self, kind: str, height: float, *names: str) -> bool:
        """Around a box, if it is of a kind; returns whether it stands out."""
        lit = self._is_lit(*names)
        if kind or lit:
            look = (
                f'class="lit" fill="{LIT}" stroke-width="3"'
                if lit
                else f'fill="{COLOURS[kind]}" fill-opacity=".25" stroke-opacity=".6"'
            )
            self.lines.append(
                f'<rect x="{self.left}" y="{-self.up - height}" width="{COLUMN}" '
                f'height="{height}" rx="5" {look}/>'
            )
        return lit

    def open_stack(self) -> float:
        """The layers begin; what is drawn until they close is one of them."""
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

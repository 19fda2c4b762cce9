"""The paper's figure 1 with every box of one forward pass, as SVG, drawn from the config alone.

As in the paper, all layers of a stack share one drawing. Each cell names its box in
``data-place``, and each layer has a button; a script handles clicks on both. Imports no torch.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from transformer.anatomy.boxes import Box, boxes
from transformer.config import TransformerConfig
from transformer.figures.architecture import architecture_words
from transformer.figures.figure_1 import COLOURS, Column, label, memory, sublayer_of

LEFT, COLUMN, BETWEEN, RIGHT = 17, 204, 34, 5
WIDTH = LEFT + 2 * COLUMN + BETWEEN + RIGHT
CELL, GAP, AIR, TITLE = 26, 4, 12, 17
SHORT = {
    "embedding": "embedding",
    "scale": "× √d_model",
    "positions": "+ positions",
    "norm": "norm",
    "queries": "queries",
    "keys": "keys",
    "values": "values",
    "products": "Q Kᵀ",
    "scores": "÷ √d_k",
    "mask": "mask",
    "softmax": "softmax",
    "mixing": "× values",
    "projection": "× W^O",
    "residual": "+ residual",
    "inner": "× W₁",
    "outer": "× W₂",
    "logits": "logits",
    "probabilities": "softmax",
    "next": "next token",
}
ROW = 3
"""Number of cells per row."""


def anatomy_svg(config: TransformerConfig) -> str:
    """The figure as an ``<svg>`` element; data flows upwards, and in a group from left to right."""
    every = boxes(config)
    encoder, decoder = (_stack(config, stack, every) for stack in ("encoder", "decoder"))
    decoder.arrow()
    decoder.group("Output", "output", [box for box in every if box.stack == "output"])
    decoder.arrow()
    decoder.text("read at the next step")
    height = decoder.up + 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {-height} {WIDTH} {height}" '
        f'width="{WIDTH}" role="group" aria-label="{html.escape(architecture_words(config))}" '
        'fill="none" stroke="currentColor" stroke-width="1">'
        f"{memory(encoder, encoder.up, decoder, decoder.cross)}"
        f"{''.join(encoder.lines)}{''.join(decoder.lines)}</svg>"
    )


def _stack(config: TransformerConfig, stack: str, every: Sequence[Box]) -> "_Column":
    source = stack == "encoder"
    side, left = ("source", LEFT) if source else ("target", LEFT + COLUMN + BETWEEN)
    layers = config.num_encoder_layers if source else config.num_decoder_layers
    column = _Column(left, config=config)
    column.text("source tokens" if source else "target tokens so far")
    column.arrow()
    column.group("Embedding", "embedding", [box for box in every if box.stack == side])
    column.arrow()
    start = column.up
    column.up += AIR
    first = [box for box in every if box.stack == stack and box.layer == 0]
    for sublayer, group in groupby(first, key=lambda box: box.sublayer):
        column.sublayer(sublayer, list(group))
    column.close(start, stack, layers)
    if end := [box for box in every if box.stack == stack and box.layer is None]:
        column.arrow()
        column.cell(end[0], "norm", column.left, COLUMN)
        column.up += CELL
    return column


@dataclass
class _Column(Column):
    """A column of figure 1 with a cell for each box.

    cross: height at which the encoder's output enters, measured from the bottom.
    """

    config: TransformerConfig = field(kw_only=True)
    width: float = COLUMN
    air: float = AIR
    cross: float = 0

    def cell(self, box: Box, kind: str, x: float, width: float) -> None:
        """Draw a clickable box; its centre is half a cell above ``up``."""
        text = self.config.activation if box.part == "activation" else SHORT[box.part]
        self.lines.append(
            f'<g class="box" role="button" data-place="{box.place}" tabindex="-1" '
            f'aria-label="{html.escape(f"{box.where}: {box.about.title}")}">'
            f'<rect x="{x}" y="{-self.up - CELL}" width="{width}" height="{CELL}" rx="4" '
            f'fill="{COLOURS[kind]}"/>'
            f"{label(x + width / 2, self.up + 8.5, text)}</g>"
        )

    def group(self, title: str, kind: str, inside: Sequence[Box]) -> None:
        """Draw boxes in rows, with a frame around them and a title on top."""
        rows = [inside[at : at + ROW] for at in range(0, len(inside), ROW)]
        height = len(rows) * (CELL + GAP) + GAP + TITLE
        self.lines.append(
            f'<rect x="{self.left}" y="{-self.up - height}" width="{COLUMN}" height="{height}" '
            f'rx="6" fill="{COLOURS[kind]}" fill-opacity=".12" stroke-opacity=".5"/>'
        )
        bottom = self.up
        for row in rows:
            self.up += GAP
            width = (COLUMN - GAP * (len(row) + 1)) / len(row)
            for number, box in enumerate(row):
                x = self.left + GAP + number * (width + GAP)
                self.cell(box, kind, x, width)
            self.up += CELL
        self.lines.append(label(self.middle, self.up + 7, title, kind="title"))
        self.up = bottom + height

    def sublayer(self, sublayer: str, inside: Sequence[Box]) -> None:
        """Draw a sub-layer with its norm and its residual connection."""
        before = self.up - AIR / 2
        kind, title = sublayer_of(inside[0].stack, sublayer)
        around = {box.part: box for box in inside if box.part in ("norm", "residual")}
        core = [box for box in inside if box.part not in around]
        if self.config.norms_first(inside[0].stack):
            self.cell(around["norm"], "norm", self.left, COLUMN)
            self.up += CELL
            self.arrow()
        if sublayer == "cross":
            self.cross = self.up + GAP + CELL / 2
        self.group(title, kind, core)
        self.arrow()
        self.cell(around["residual"], "output", self.left, COLUMN)
        self.residual(before, self.up + CELL / 2, self.left - 1)
        self.up += CELL
        if not self.config.norms_first(inside[0].stack):
            self.arrow()
            self.cell(around["norm"], "norm", self.left, COLUMN)
            self.up += CELL
        self.lines.append(f'<path d="M{self.middle} {-self.up}v{-AIR}"/>')
        self.up += AIR

    def close(self, start: float, stack: str, layers: int) -> None:
        """Draw the frame of a layer, from ``start`` to here, with one button per layer on top."""
        self.lines.insert(
            0,
            f'<rect x="{self.left - 12}" y="{-self.up - 22}" width="{COLUMN + 16}" '
            f'height="{self.up - start + 22}" rx="9" stroke-opacity=".35"/>',
        )
        width = min(22, (COLUMN - 46) / layers)
        x = self.left + COLUMN - layers * width
        self.lines.append(label(x - 22, self.up + 6, "layer"))
        for layer in range(layers):
            self.lines.append(
                f'<g class="layer" role="button" data-stack="{stack}" data-layer="{layer}" '
                f'tabindex="0" aria-label="{stack.capitalize()}, layer {layer + 1}">'
                f'<rect x="{x + layer * width + 1}" y="{-self.up - 20}" width="{width - 2}" '
                'height="19" rx="3"/>'
                f"{label(x + (layer + 0.5) * width, self.up + 6, str(layer + 1))}</g>"
            )
        self.lines.insert(1, f'<path d="M{self.middle} {-self.up}v-22"/>')
        self.up += 22

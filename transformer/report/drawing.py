"""Pictures that need nothing but a browser: curves as SVG, attention maps as PNG."""

import html
import math
import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer.vocabulary.vocabulary import visible

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 40
TICKS = 4
DARKEST = np.array([8, 48, 107])
"""The colour of weight 1; weight 0 is white. A scale that colour-blind people can read."""


@dataclass(frozen=True)
class Line:
    """A curve: [x, y] points, and how CSS styles it (class ``one``, ``two`` or ``level``)."""

    name: str
    points: Sequence[Sequence[float]]
    style: str


def chart(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> str:
    """Curves on axes that begin at 0, with a legend below, as HTML."""
    shown = [line for line in lines if line.points]
    points = [point for line in shown for point in line.points if math.isfinite(point[1])]
    far = max([1.0, *(point[0] for point in points)])
    high = max([point[1] for point in points], default=1.0) or 1.0

    def place(x: float, y: float) -> str:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / far
        down = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / high
        return f"{across:.1f},{down:.1f}"

    drawn = []
    for number in range(TICKS + 1):
        share = number / TICKS
        across, down = place(share * far, share * high).split(",")
        drawn.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>'
            f'<text x="{LEFT - 6}" y="{down}" dy="4" text-anchor="end">{share * high:.3g}</text>'
            f'<text x="{across}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{share * far:,.0f}</text>"
        )
    for line in shown:
        path = " ".join(place(x, y) for x, y in line.points if math.isfinite(y))
        drawn.append(f'<polyline class="{line.style}" points="{path}"/>')
    legend = "".join(
        f'<span><svg width="28" height="8" aria-hidden="true"><line class="{line.style}" x1="0" '
        f'x2="28" y1="4" y2="4"/></svg> {html.escape(line.name)}</span>'
        for line in shown
    )
    return (
        f"<figure><figcaption>{html.escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(drawn)}"
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{html.escape(x_label)}</text>"
        f'<text transform="translate(12 {(HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(y_label)}</text></svg>'
        f'<p class="legend">{legend}</p></figure>'
    )


def attention_map(title: str, weights: NDArray[np.uint8]) -> str:
    """One head's weights, [query, key] in 255ths, as an image with its title below, as HTML."""
    share = weights[..., None] / 255
    colours = np.rint(255 * (1 - share) + DARKEST * share).astype(np.uint8)
    rows, columns = weights.shape
    return (
        f'<figure class="map"><img width="{min(220, 12 * columns)}" height="{min(220, 12 * rows)}" '
        f'src="data:image/png;base64,{b64encode(png(colours)).decode()}" '
        f'alt="{html.escape(title)}"><figcaption>{html.escape(title)}</figcaption></figure>'
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels [height, width, 3] in red, green, blue."""
    height, width, _ = pixels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def tokens(names: Sequence[str]) -> str:
    """Tokens one after the other, each in a box, as HTML."""
    return " ".join(f"<code>{html.escape(visible(name))}</code>" for name in names)

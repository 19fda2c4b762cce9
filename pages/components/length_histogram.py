"""How long texts are: a small histogram, drawn as SVG, which needs no script to load."""

import html
from collections.abc import Sequence

WIDTH, HEIGHT = 320, 130
LEFT, BOTTOM, TOP = 8, 34, 20
# Okabe-Ito's blue and vermilion: told apart by everyone, on white and on black.
COLOURS = {"Source": "#0072B2", "Target": "#D55E00"}


def length_histogram(side: str, bins: Sequence[Sequence[int]], longest: int) -> str:
    """One side's lengths.

    Args:
        side: "Source" or "Target".
        bins: [from, to, texts], the last with all that are longer.
        longest: tokens of the longest text.
    """
    most = max(count for _, _, count in bins)
    step = (WIDTH - 2 * LEFT) / len(bins)
    high = HEIGHT - BOTTOM - TOP
    bars = "".join(
        f'<rect x="{LEFT + place * step + 0.5:.1f}" y="{TOP + high * (1 - count / most):.1f}" '
        f'width="{max(1.0, step - 1):.1f}" height="{high * count / most:.1f}">'
        f"<title>{_span(low, top)}: {_texts(count)}</title></rect>"
        for place, (low, top, count) in enumerate(bins)
    )
    shown = range(0, len(bins), max(1, len(bins) // 6))
    ticks = "".join(
        f'<text x="{LEFT + (place + 0.5) * step:.1f}" y="{HEIGHT - 20}" text-anchor="middle">'
        f"{bins[place][0]}</text>"
        for place in shown
    )
    base = HEIGHT - BOTTOM
    title = html.escape(f"{side}: tokens a text, longest {longest:,}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}" '
        f'style="width:100%;max-width:26rem;display:block;font-size:11px">'
        f'<g fill="currentColor"><text x="{LEFT}" y="12" font-weight="600">{title}</text>{ticks}'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">length in tokens '
        f"(height: number of texts, highest {most:,})</text></g>"
        f'<g fill="{COLOURS[side]}">{bars}</g>'
        f'<line x1="{LEFT}" x2="{WIDTH - LEFT}" y1="{base}" y2="{base}" stroke="currentColor"/>'
        "</svg>"
    )


def _span(low: int, top: int) -> str:
    return f"{low} tokens" if low == top else f"{low} to {top} tokens"


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count:,} texts"

"""Histogram of the lengths of texts, in HTML, which needs no script."""

from collections.abc import Sequence

TICKS = 6


def length_histogram(side: str, bins: Sequence[Sequence[int]], longest: int) -> str:
    """HTML of one side's lengths.

    Args:
        side: "Source" or "Target".
        bins: [from, to, number of texts]; the last bin has all longer texts.
        longest: number of tokens of the longest text.
    """
    most = max(count for _, _, count in bins)
    title = f"{side}: tokens a text, longest {longest:,}"
    every = -(-len(bins) // TICKS)
    bars = "".join(
        f'<div style="height:{100 * count / most:.1f}%" title="{_span(low, top)}: '
        f'{_texts(count)}"></div>'
        for low, top, count in bins
    )
    ticks = "".join(
        f"<span>{low if place % every == 0 else ''}</span>"
        for place, (low, _, _) in enumerate(bins)
    )
    return (
        f'<figure class="lengths"><figcaption>{title}</figcaption>'
        f'<div class="bars {side}" role="img" aria-label="Histogram. {title}">{bars}</div>'
        f'<div class="ticks" aria-hidden="true">{ticks}</div>'
        f'<div class="axis">length in tokens (height: texts, highest bar {most:,})</div></figure>'
    )


def _span(low: int, top: int) -> str:
    return f"{low} tokens" if low == top else f"{low} to {top} tokens"


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count:,} texts"

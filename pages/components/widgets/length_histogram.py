"""How long texts are: a small histogram in HTML, which needs no script to load."""

from collections.abc import Sequence

STYLE = """
<style>
  .lengths { max-width: 26rem; font-size: 0.8rem; margin: 0; }
  .lengths figcaption { font-weight: 600; }
  .lengths .bars { display: flex; align-items: flex-end; gap: 1px; height: 5.5rem;
                   border-bottom: 1px solid currentColor; padding-top: 0.4rem; }
  .lengths .bars div { flex: 1; min-height: 1px; }
  .lengths .bars div:hover { opacity: 0.7; }
  .lengths .ticks { display: flex; gap: 1px; }
  .lengths .ticks span { flex: 1 1 0; width: 0; overflow: visible; text-align: center;
                         white-space: nowrap; }
  .lengths .axis { text-align: center; }
  /* Okabe-Ito's blue and vermilion: told apart by everyone, on white and on black. */
  .lengths .Source div { background: #0072B2; }
  .lengths .Target div { background: #D55E00; }
</style>
"""
TICKS = 6


def length_histogram(side: str, bins: Sequence[Sequence[int]], longest: int) -> str:
    """HTML of one side's lengths.

    Args:
        side: "Source" or "Target".
        bins: [from, to, texts], the last with all that are longer.
        longest: tokens of the longest text.
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
        f'{STYLE}<figure class="lengths"><figcaption>{title}</figcaption>'
        f'<div class="bars {side}" role="img" aria-label="Histogram. {title}">{bars}</div>'
        f'<div class="ticks" aria-hidden="true">{ticks}</div>'
        f'<div class="axis">length in tokens (height: texts, highest bar {most:,})</div></figure>'
    )


def _span(low: int, top: int) -> str:
    return f"{low} tokens" if low == top else f"{low} to {top} tokens"


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count:,} texts"

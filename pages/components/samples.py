"""Held-out examples as token chips: right and wrong told apart by mark, border and colour."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pages.components.text import code

STYLE = """
<style>
  .samples { border-collapse: collapse; width: 100%; font-size: 0.85rem; }
  .samples th { text-align: left; font-weight: 600; padding: 0.25rem 0.5rem; }
  .samples td { padding: 0.3rem 0.5rem; vertical-align: top; }
  .samples tr + tr { border-top: 1px solid rgba(128, 128, 128, 0.25); }
  .chips { display: flex; flex-wrap: wrap; gap: 2px; }
  .chip { padding: 0 0.28rem; border-radius: 3px; border: 1px solid rgba(128,128,128,0.45);
          font-family: "Source Code Pro", monospace; white-space: pre; }
  .chip.wrong { border: 1px dashed #d9480f; background: rgba(217, 72, 15, 0.16);
                text-decoration: underline wavy #d9480f 1px; }
  .answer { display: flex; gap: 0.5rem; align-items: baseline; }
  .verdict { white-space: nowrap; font-weight: 600; flex: none; }
  .wide { overflow-x: auto; }
  @media (max-width: 640px) {
    .samples thead { display: none; }
    .samples tr, .samples td { display: block; }
    .samples td::before { content: attr(data-title); display: block; font-size: 0.75rem; }
  }
</style>
"""


def samples_table(
    untrained: Sequence[dict[str, Any]], trained: Sequence[dict[str, Any]], step: int
) -> str:
    """HTML of the fixed examples: input, target, and what the model wrote before and after.

    Each sample has a "source" text, "target" and "output" tokens, and whether it is "right".
    """
    rows = [
        (_text(now["source"]), _chips(now["target"], now["target"]), _answer(before), _answer(now))
        for before, now in zip(untrained, trained, strict=False)
    ]
    titles = ("Input", "Target", "Untrained model", f"After {step:,} steps")
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-title="{title}">{cell}</td>' for title, cell in zip(titles, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'{STYLE}<div class="wide"><table class="samples"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _text(text: str) -> str:
    """A source text; it may wrap between words."""
    return " ".join(code(word) for word in text.split(" "))


def _answer(sample: dict[str, Any]) -> str:
    mark = "✓ right" if sample["right"] else "✗ wrong"
    chips = _chips(sample["output"], sample["target"])
    return f'<div class="answer"><span class="verdict">{mark}</span>{chips}</div>'


def _chips(output: Sequence[str], target: Sequence[str]) -> str:
    """The output's tokens; one that differs from the target's at its place is marked wrong.

    An untrained model often repeats one token to the end; repeats beyond two are counted.
    """
    chips, place = [], 0
    for token, group in groupby(output):
        count = len(list(group))
        wanted = list(target[place : place + count])
        place += count
        if count > 2 and wanted != [token] * count:
            chips.append(f'<span class="chip wrong">{code(token)}</span>&nbsp;× {count}')
        else:
            chips += [
                f'<span class="chip{"" if wanted[i : i + 1] == [token] else " wrong"}">'
                f"{code(token)}</span>"
                for i in range(count)
            ]
    return f'<span class="chips">{"".join(chips) or "(nothing)"}</span>'

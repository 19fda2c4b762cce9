"""Held-out examples as token chips: right and wrong told apart by mark, border and colour."""

from collections.abc import Sequence
from typing import Any

from pages.components.text import code
from transformer.vocabulary import Vocabulary

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
  .verdict { white-space: nowrap; font-weight: 600; margin-right: 0.3rem; }
  .wide { overflow-x: auto; }
</style>
"""


def samples_table(
    vocabulary: Vocabulary,
    untrained: Sequence[dict[str, Any]],
    trained: Sequence[dict[str, Any]],
    step: int,
) -> str:
    """HTML of the fixed examples: input, target, and what the model wrote before and after."""
    rows = [
        f"<tr><td>{code_cell(now['source'])}</td>"
        f"<td>{_chips(vocabulary, now['target'], now['target'])}</td>"
        f"<td>{_answer(vocabulary, before)}</td><td>{_answer(vocabulary, now)}</td></tr>"
        for before, now in zip(untrained, trained, strict=False)
    ]
    return (
        f'{STYLE}<div class="wide"><table class="samples"><thead><tr><th>Input</th><th>Target</th>'
        f"<th>Untrained</th><th>After {step:,} steps</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def code_cell(text: str) -> str:
    """A text as one chip-like piece; long ones wrap."""
    return " ".join(code(word) for word in text.split(" "))


def _answer(vocabulary: Vocabulary, sample: dict[str, Any]) -> str:
    mark = "✓ right" if sample["right"] else "✗ wrong"
    chips = _chips(vocabulary, sample["output"], sample["target"])
    return f'<span class="verdict">{mark}</span>{chips}'


def _chips(vocabulary: Vocabulary, output: str, target: str) -> str:
    """The output's tokens; one that differs from the target's at its place is marked wrong."""
    wanted, tokens = vocabulary.cut(target), _cut(vocabulary, output)
    chips = [
        f'<span class="chip{"" if wanted[i : i + 1] == [token] else " wrong"}">{code(token)}</span>'
        for i, token in enumerate(tokens)
    ]
    return f'<span class="chips">{"".join(chips) or "(nothing)"}</span>'


def _cut(vocabulary: Vocabulary, output: str) -> list[str]:
    """An output as tokens. It may hold <unk>, which no text can be encoded to."""
    return output.split() if vocabulary.kind != "characters" else list(output)

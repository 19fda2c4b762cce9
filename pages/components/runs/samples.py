"""Held-out examples as token chips, when each was learned, and which errors are left."""

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import streamlit as st

from pages.components.shell.tables import Cell, Row, html_table
from pages.components.shell.text import Html, code, percent, plain
from transformer.runs.metrics import Record, Sample, Samples, thinned

MOST_MARKS = 40
"""Maximum number of evaluations marked for one example; of more, first, last and some between."""
MOST_SHOWN = 60
"""Maximum length of each text of the example under the curve: characters, plus two per token."""
ALL = slice(None)
COLUMNS = 4
"""Number of evaluations whose errors are shown side by side."""


def answers_view(entries: Sequence[Samples]) -> None:
    """Draw the held-out examples, as the untrained model answered them and as they are now."""
    st.markdown("**Answers the model writes by itself**, before and after training")
    if not entries:
        st.caption("The first answers appear after the first evaluation.")
        return
    st.html(samples_table(entries))
    if len(entries) > 1:
        st.caption("Each mark is one evaluation: tall and blue is right, short and orange wrong.")


def errors_view(evaluations: Sequence[Record]) -> None:
    """Draw the shares of each kind of error among all evaluated examples.

    Args:
        evaluations: of the run, sorted by step.
    """
    counted = [
        Errors(one.step, one.examples, one.errors)
        for one in evaluations
        if one.examples and one.errors is not None
    ]
    if len(counted) < 2:
        st.caption("What goes wrong is counted from the second evaluation on.")
        return
    st.markdown(f"**What is still wrong.** {errors_sentence(counted[-1])}")
    st.html(errors_table(counted))


def example_line(entries: Sequence[Samples]) -> str:
    """HTML of one example: its input, its target, and the present output.

    It is always the same example: the one of median length among those that fit.
    """
    if not entries or not entries[-1]["samples"]:
        return ""
    samples = entries[-1]["samples"]
    # Long examples would push the rest off the screen.
    order = sorted(range(len(samples)), key=lambda number: _room(samples[number]["target"]))
    fitting = [n for n in order if _room(samples[n]["target"]) <= MOST_SHOWN] or order[:1]
    number = fitting[len(fitting) // 2]
    now = samples[number]
    step = entries[-1]["step"]
    when = f"the model writes at step {step:,}" if step else "the untrained model writes"
    marks = _learned(entries, number) if step else ""
    source, shown = now["source"], _excerpt(now["output"], now["target"])
    parts = (
        ("an example", _text(source if len(source) <= MOST_SHOWN else f"{source[:MOST_SHOWN]}…")),
        ("wanted", _chips(now["target"], now["target"], shown)),
        (when, _answer(now, shown)),
    )
    cells = "".join(f"<div><small>{title}</small>{content}</div>" for title, content in parts)
    return f'<div class="samples example">{cells}{marks}</div>'


def _room(tokens: Sequence[str]) -> int:
    return sum(len(token) + 2 for token in tokens)


def _excerpt(output: Sequence[str], target: Sequence[str]) -> slice:
    """The token positions to show: as many as fit, the first wrong one included."""
    places = range(max(len(output), len(target)))
    pairs = [(output[i : i + 1], target[i : i + 1]) for i in places]
    rooms = [max(map(_room, pair)) for pair in pairs]
    wrong = next((i for i in places if pairs[i][0] != pairs[i][1]), 0)
    start = 0 if sum(rooms[: wrong + 1]) <= MOST_SHOWN else max(wrong - 2, 0)
    stop = start + 1
    while stop < len(places) and sum(rooms[start : stop + 1]) <= MOST_SHOWN:
        stop += 1
    return slice(start, stop)


# --- Examples ---------------------------------------------------------------------------------


def samples_table(entries: Sequence[Samples]) -> str:
    """HTML of the examples: input, target, output before and now, and when it was learned."""
    first, last = entries[0], entries[-1]
    titles = ["Input", "Target", "Untrained model"]
    if len(entries) > 1:
        titles += [f"After {last['step']:,} steps", "Right at each evaluation"]
    rows = []
    for number, (before, now) in enumerate(zip(first["samples"], last["samples"], strict=False)):
        row = [_text(now["source"]), _chips(now["target"], now["target"]), _answer(before)]
        if len(entries) > 1:
            row += [_answer(now), _learned(entries, number)]
        rows.append(
            [
                Cell(Html(content), data_title=title)
                for title, content in zip(titles, row, strict=True)
            ]
        )
    return html_table("samples", titles, rows, label="Answers", row_heads=False)


def _learned(entries: Sequence[Samples], number: int) -> str:
    """A mark for each evaluation of an example, and in words when it was learned."""
    seen = [
        (entry["step"], entry["samples"][number]["right"])
        for entry in entries
        if number < len(entry["samples"])
    ]
    return f'<div class="learned">{_marks(seen)}{when_learned(seen)}</div>'


def when_learned(seen: Sequence[tuple[int, bool]]) -> str:
    """In words, when an example was learned and forgotten: from (step, right) by step."""
    rights = [step for step, right in seen if right]
    if not rights:
        return "not yet"
    turns = [step for (_, was), (step, right) in pairwise(seen) if was > right]
    often = "once" if len(turns) == 1 else f"{len(turns)} times"
    lost = f", lost {often}" if turns else ""
    if not seen[-1][1]:
        return f"was right from step {rights[0]:,}{lost}; wrong now"
    since = seen[-1][0]
    for step, right in reversed(seen):
        if not right:
            break
        since = step
    return f"since step {since:,}" + (f"; first at {rights[0]:,}{lost}" if lost else "")


def _marks(seen: Sequence[tuple[int, bool]]) -> str:
    """A row of marks, one per evaluation: tall and blue is right, short and orange wrong."""
    marks = "".join(
        f'<i{" class=right" if right else ""} title="step {step:,}: '
        f'{"right" if right else "wrong"}"></i>'
        for step, right in thinned(seen, MOST_MARKS)
    )
    return f'<div class="marks" aria-hidden="true">{marks}</div>'


def _text(text: str) -> str:
    """A source text; it may wrap between words."""
    return " ".join(code(word) for word in text.split(" "))


def _answer(sample: Sample, shown: slice = ALL) -> str:
    mark = "✓ right" if sample["right"] else "✗ wrong"
    chips = _chips(sample["output"], sample["target"], shown)
    return f'<div class="answer"><span class="verdict">{mark}</span>{chips}</div>'


def _chips(output: Sequence[str], target: Sequence[str], shown: slice = ALL) -> str:
    """HTML of the output's tokens; those that differ from the target's are marked wrong.

    An untrained model often repeats one token to the end; more than two repeats are drawn once,
    with their number.

    Args:
        shown: the positions to draw; an ellipsis replaces the others.
    """
    chips = ["…"] if shown.start else []
    place = shown.start or 0
    for token, group in groupby(output[shown]):
        count = len(list(group))
        wanted = list(target[place : place + count])
        place += count
        if count > 2 and wanted != [token] * count:
            chips.append(
                f'<span class="repeated"><span class="chip wrong">{code(token)}</span>'
                f"&nbsp;× {count}</span>"
            )
        else:
            chips += [
                f'<span class="chip{"" if wanted[i : i + 1] == [token] else " wrong"}">'
                f"{code(token)}</span>"
                for i in range(count)
            ]
    if len(output) > place:
        chips.append("…")
    return f'<span class="chips">{"".join(chips) or "(nothing)"}</span>'


# --- Errors -----------------------------------------------------------------------------------


class Errors(NamedTuple):
    """Number of examples in an evaluation, and kind of error -> number of wrong ones."""

    step: int
    examples: int
    kinds: Mapping[str, int]


def errors_sentence(evaluation: Errors) -> str:
    """How many examples are right, and which error is the most frequent, in sentences."""
    errors, examples = evaluation.kinds, evaluation.examples
    wrong = sum(errors.values())
    start = f"At step {evaluation.step:,}, {examples - wrong:,} of {examples:,} are right"
    if not wrong:
        return f"{start}: no error is left."
    kind = max(errors, key=errors.__getitem__)
    if errors[kind] == wrong:
        return f"{start}. Wrong in the {'other' if wrong == 1 else 'others'}: “{plain(kind)}”."
    most = f"“{plain(kind)}” ({errors[kind]:,} of {wrong:,})"
    return f"{start}. The most frequent error is {most}."


def errors_table(evaluations: Sequence[Errors]) -> str:
    """HTML: each kind of error as a share of all examples, at a few evaluations."""
    shown = thinned(evaluations, COLUMNS)
    kinds = {kind: None for one in reversed(shown) for kind in _by_count(one.kinds)}
    steps = [f"Step {one.step:,}" if one.step else "Untrained" for one in shown]
    right = [_share(one.examples - sum(one.kinds.values()), one, True) for one in shown]
    rows: list[Row] = [("right", *right)]
    for kind in kinds:
        rows.append((kind, *(_share(one.kinds.get(kind, 0), one) for one in shown)))
    return html_table("samples errors", ("Share of examples", *steps), rows, label="Errors")


def _by_count(errors: Mapping[str, int]) -> list[str]:
    return sorted((kind for kind in errors if errors[kind]), key=lambda kind: -errors[kind])


def _share(count: int, evaluation: Errors, right: bool = False) -> Cell:
    share = count / evaluation.examples
    bar = f'<b style="width: {100 * share:.1f}%" aria-hidden="true"></b>' if count else ""
    return Cell(Html(f"<span>{percent(share)}</span>{bar}"), f"share{' right' if right else ''}")

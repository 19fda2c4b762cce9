"""All runs in a table: choose some, sort by a column, open one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pages.components.shell.mount import Widget
from pages.components.shell.text import compact, number, percent, seconds, told_apart
from transformer.runs.directory import ACTIVE
from transformer.runs.table import DAMAGED, Summary
from transformer.runs.verdict import score_in_words

WIDGET = Widget("run_table")
TONES = {"failed": "bad", "diverged": "bad", DAMAGED: "bad", "interrupted": "odd"}


MOST_OF_A_NAME = 26
"""Number of characters of a run's name that fit into any line."""


def row(summary: Summary, owned: bool, short: str = "") -> dict[str, Any]:
    """One run as the table shows it: texts, except "created", which the browser formats.

    Args:
        short: its name for lines that are too short for all of it.
    """

    def known(value: float | None, words: Callable[[float], str], before: str = "") -> str:
        return "" if value is None else before + words(value)

    own = summary.on_training_pairs
    exact = partial(score_in_words, own=True) if own else percent
    untrained_exact = known(summary.untrained_exact_match, percent, "untrained ")
    shape = f"{summary.layers} × {summary.d_model}"
    steps = "" if summary.steps is None else f"{summary.step:,} / {summary.steps:,}"
    return {
        "id": summary.id,
        "name": summary.title,
        "short": short or summary.title,
        "author": summary.author,
        "private": owned and summary.private,
        "parent": summary.parent,
        "notes": summary.notes,
        "task": summary.task,
        "size": known(summary.parameters, lambda count: f"{count:,}"),
        "shape": "" if summary.d_model is None else shape,
        "steps": steps,
        "loss": known(summary.loss, number),
        "curve": [list(point) for point in summary.curve],
        "untrained_loss": known(summary.untrained_loss, number, "untrained "),
        "exact": known(summary.exact_match, exact),
        "untrained_exact": "nothing held out" if own else untrained_exact,
        "time": known(summary.seconds, seconds),
        "tokens": known(summary.tokens, lambda count: f"{compact(count)} tokens"),
        "state": summary.state,
        "tone": "live" if summary.state in ACTIVE else TONES.get(summary.state, ""),
        "reason": summary.reason,
        "created": summary.created,
        "damaged": summary.state == DAMAGED,
    }


def run_table(
    summaries: Sequence[Summary],
    chosen: Sequence[str],
    turn: int,
    order: str,
    *,
    owned: bool,
    most: int,
    key: str,
    on_chosen: Callable[[], None],
    on_order: Callable[[], None],
    on_watch: Callable[[], None],
) -> None:
    """Draw the table.

    Args:
        summaries: the rows, in order.
        chosen: ids of the chosen runs; at most ``most`` can be.
        turn: number of the user's last choice that the page knows; the script ignores ``chosen``
            if the user has made a newer one.
        order: the sort order, as in ``run_history.ordered``.
        owned: whether runs belong to the browser that started them, and can be private.
        on_chosen, on_order, on_watch: called when the user chooses runs, a column to sort by, or
            a run to open; session state under ``key`` then has ["chosen"] (all ids and a turn),
            ["order"] or ["watch"] (an id).
    """
    names = told_apart([summary.title for summary in summaries], MOST_OF_A_NAME)
    WIDGET.draw(
        data={
            "rows": [
                row(summary, owned, short) for summary, short in zip(summaries, names, strict=True)
            ],
            "chosen": list(chosen),
            "turn": turn,
            "order": order,
            "most": most,
        },
        key=key,
        on_chosen_change=on_chosen,
        on_order_change=on_order,
        on_watch_change=on_watch,
        default={"chosen": {"ids": list(chosen), "turn": turn}},
    )

"""The tree of branches: each output under the one it parts from, its tokens in columns."""

from collections.abc import Callable, Sequence
from typing import TypedDict

from pages.components.shell.mount import Widget

WIDGET = Widget("branch_tree")


class Row(TypedDict):
    """One branch as drawn.

    depth: how many branches it hangs below the first.
    parts: the step at which it parts from the one above it, from 0; 0 for the first.
    tokens, probabilities: of each step.
    dashed: the steps given in place of the model's first choice.
    verdict: "right", "wrong", or empty where the target is not known.
    wrong: the first wrong step, -1 where there is none.
    """

    name: str
    depth: int
    parts: int
    tokens: Sequence[str]
    probabilities: Sequence[float]
    dashed: Sequence[int]
    log_prob: float
    verdict: str
    wrong: int
    open: bool
    compared: bool
    kept: bool


def branch_tree(rows: Sequence[Row], *, step: int, key: str, on_act: Callable[[], None]) -> None:
    """Draw the tree.

    Args:
        rows: each after the one it parts from.
        step: the step shown above, from 0.
        on_act: called when a person opens, compares, names, keeps or removes a branch; session
            state under ``key`` then has ``["act"]`` as [what, row, value].
    """
    WIDGET.draw(data={"rows": list(rows), "step": step}, key=key, on_act_change=on_act, default={})

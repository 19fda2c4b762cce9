"""The tree of branches: each output below the one it branches off from, its tokens in columns."""

from collections.abc import Callable, Sequence
from typing import TypedDict

from pages.components.shell.mount import Widget

WIDGET = Widget("branch_tree")


class Row(TypedDict):
    """One branch as drawn.

    depth: its depth in the tree; 0 for the first branch.
    parts: the step, from 0, at which it first differs from its parent; 0 for the first branch.
    tokens, probabilities: of each step.
    dashed: the steps at which the user chose another token than the model's first choice.
    verdict: "right", "wrong", or empty if the target is not known.
    wrong: the first wrong step, -1 if there is none.
    kept: whether it is stored, so that it can be named and removed.
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
        rows: each after its parent.
        step: the step shown above, from 0.
        on_act: called when the user opens, compares, names, keeps or removes a branch; session
            state under ``key`` then has ``["act"]`` as [what, row, value].
    """
    WIDGET.draw(data={"rows": list(rows), "step": step}, key=key, on_act_change=on_act, default={})

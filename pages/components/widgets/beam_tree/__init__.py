"""A beam search as a picture: one column per step, best on top, with dropped hypotheses and why.

Arrow keys move in it without the server; a list below has the same information.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pages.components.shell.mount import Widget

WIDGET = Widget("beam_tree")


def beam_tree(
    nodes: Sequence[dict[str, Any]],
    beams: Sequence[Sequence[int]],
    answer: int,
    *,
    key: str,
    title: str,
    on_open: Callable[[], None],
) -> None:
    """Draw the tree.

    Args:
        nodes: for each hypothesis its "parent" (an index in this list, or None), its last
            "token", the "text" of all its tokens, "position" (from 0), "log_prob" (of the
            token), "total", "score", "kind" (why it ends; empty if others grow from it) and
            "why", one sentence.
        beams: the indices of the nodes kept after each step, best first.
        answer: the index of the answer.
        title: of the picture, and of the file it is saved as.
        on_open: called when the user opens a hypothesis in the steps; session state under ``key``
            then has its index as ``["open"]``.
    """
    WIDGET.draw(
        data={
            "nodes": list(nodes),
            "beams": [list(beam) for beam in beams],
            "answer": answer,
            "title": title,
        },
        key=key,
        on_open_change=on_open,
    )

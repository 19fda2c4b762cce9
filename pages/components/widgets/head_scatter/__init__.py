"""All heads as points in a plane of two measures; a click, or Enter, opens the head.

Not a Plotly chart, because that is redrawn with every input, takes longer than all the maps above
it, and has no keyboard navigation.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pages.components.shell.mount import Widget

WIDGET = Widget("head_scatter", ("charts",))


def head_scatter(
    points: Sequence[dict[str, Any]],
    x_title: str,
    y_title: str,
    *,
    chosen: str,
    key: str,
    on_choose: Callable[[], None],
) -> None:
    """Draw the points.

    Args:
        points: for each head its "head" (its name in an address), "kind", "title", "short" (a
            shorter title), "label" and the two measures "x" and "y".
        chosen: the head shown large.
        on_choose: called when the user chooses a point; session state under ``key`` then has
            its head as ``["choose"]``.
    """
    WIDGET.draw(
        data={"points": list(points), "x_title": x_title, "y_title": y_title, "chosen": chosen},
        key=key,
        on_choose_change=on_choose,
    )

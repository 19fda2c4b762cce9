"""The output of one box as small pictures: one map per head, or bars for tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.components.shell import mount
from pages.components.shell.mount import Widget

if TYPE_CHECKING:
    from transformer.anatomy.forward_pass import Picture

WIDGET = Widget("value_picture", ("colours",))


def value_picture(pictures: Sequence["Picture"], current: int | None, *, key: str) -> None:
    """Draw the pictures.

    Args:
        current: index of the row that is being written, which is marked; None for no mark.
    """
    WIDGET.draw(data=pack(pictures, current), key=key)


def pack(pictures: Sequence["Picture"], current: int | None) -> bytes:
    """The message to the browser: a header, then the numbers of each picture."""
    header = {
        "current": current,
        "pictures": [
            {
                "title": one.title,
                "shape": one.numbers.shape,
                "rows": one.rows,
                "columns": one.columns,
                "unit": one.unit,
            }
            for one in pictures
        ],
    }
    return mount.pack(header, (np.ascontiguousarray(one.numbers, "<f4") for one in pictures))

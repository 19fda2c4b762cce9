"""What comes out of one box as a small picture: a map a head, or bars for tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pages.components.shell import mount
from pages.components.shell.mount import Widget

if TYPE_CHECKING:
    from transformer.anatomy.forward_pass import Picture

WIDGET = Widget("value_picture", ("colours",))


def value_picture(pictures: Sequence["Picture"], current: int | None, *, key: str) -> None:
    """Draw it.

    Args:
        current: the row that is being written, which is marked; None where none is.
    """
    WIDGET.draw(data=pack(pictures, current), key=key)


def pack(pictures: Sequence["Picture"], current: int | None) -> bytes:
    """A header, then the numbers of each picture."""
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

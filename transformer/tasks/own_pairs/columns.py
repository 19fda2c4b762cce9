"""What the columns of a table hold: texts to learn, numbers, or labels of the lines."""

import re
from collections import Counter
from collections.abc import Sequence

MOST_ODD = 0.1
"""Largest share of lines that may have another number of cells, or not be of the file's form."""
LEAST_TYPED = 3
"""Fewest lines from which the type of a column is judged."""
SAME_SHAPE = 0.9
"""Share of a column's cells, equal except for their digits, from which they count as labels, such
as dates or file names."""
HEX = re.compile("(?=.*[0-9])[0-9a-fA-F-]{8,}")
FILE_NAME = re.compile(r"\S+\.(mp3|wav|flac|ogg|m4a|mp4|png|jpe?g|txt|json|xml|pdf)", re.IGNORECASE)


def is_number(cell: str) -> bool:
    """Whether a cell is a number, as people write them."""
    return bool(re.fullmatch(r"[-+]?\d[\d\s.,']*%?", cell.strip()))


def text_rank(place: int, rows: Sequence[Sequence[str]]) -> int:
    """How much a column looks like texts to learn: from 3 for texts to 0 for line numbers."""
    column = [row[place].strip() for row in rows if len(row) > place]
    if not column:
        return 0
    few = len(column) < LEAST_TYPED
    if not few and len(set(column)) == 1:
        return 0  # a language code, a licence
    if sum("://" in cell or cell.startswith("CC-BY") for cell in column) * 2 > len(column):
        return 0
    if sum(map(is_number, column)) * 10 >= len(column) * 9:
        whole = all(cell.isdecimal() for cell in column)
        return 0 if whole and len(set(column)) == len(column) and not few else 2
    return 1 if _are_labels(column) and not few else 3


def _are_labels(column: Sequence[str]) -> bool:
    """Whether a column only labels each line: with dates, times, ids or file names."""
    if any(len(cell.split()) != 1 for cell in column):
        return False
    if all(FILE_NAME.fullmatch(cell) for cell in column):
        return True
    if all(HEX.fullmatch(cell) for cell in column) and len(set(map(len, column))) == 1:
        return True
    shapes = Counter(re.sub(r"\d+", "0", cell) for cell in column)
    shape, count = shapes.most_common(1)[0]
    return "0" in shape and len(shape) > 2 and count >= SAME_SHAPE * len(column)

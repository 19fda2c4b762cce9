"""Where cross-attention would look if it solved a task by looking at the answer.

Known for tasks whose every output token comes from certain places of the input. A model may
solve the task otherwise; then its heads score low here, and that is a finding too.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from transformer.tasks.dates import places as date_places
from transformer.tasks.number_places import digit_places
from transformer.vocabulary.vocabulary import EOS_ID, SPECIAL_TOKENS

EOS = SPECIAL_TOKENS[EOS_ID]

Places = NDArray[np.bool_]
"""[written, source], True where to look. A row without any is not judged."""


def _places(rows: int, columns: int, where: Callable[[int], Sequence[int]]) -> Places:
    found = np.zeros((rows, columns), dtype=bool)
    for row in range(rows):
        for column in where(row):
            if 0 <= column < columns:
                found[row, column] = True
    return found


def _reverse(source: Sequence[str], written: Sequence[str]) -> Places:
    return _places(len(written), len(source), lambda i: [len(source) - 1 - i])


def _copy(source: Sequence[str], written: Sequence[str]) -> Places:
    return _places(len(written), len(source), lambda i: [i])


def _sort(source: Sequence[str], written: Sequence[str]) -> Places:
    ordered = sorted(source)
    return _places(
        len(written),
        len(source),
        lambda i: [j for j, token in enumerate(source) if i < len(source) and token == ordered[i]],
    )


def _column_of_digits(source: Sequence[str], column: int) -> list[int]:
    """Where the two digits of a column stand, counted from the ones."""
    plus = source.index("+")
    places = (plus - 1 - column, len(source) - 1 - column)
    return [place for place, least in zip(places, (0, plus + 1), strict=True) if place >= least]


def _addition(source: Sequence[str], written: Sequence[str]) -> Places | None:
    if source.count("+") != 1:
        return None
    return _places(
        len(written), len(source), lambda i: _column_of_digits(source, len(written) - 1 - i)
    )


def _addition_reversed(source: Sequence[str], written: Sequence[str]) -> Places | None:
    if source.count("+") != 1:
        return None
    return _places(len(written), len(source), lambda i: _column_of_digits(source, i))


def _dates(source: Sequence[str], written: Sequence[str]) -> Places | None:
    """A digit's own place where the field has as many digits, else the whole field: a name."""
    fields = date_places("".join(source))
    if fields is None:
        return None
    found: dict[int, Sequence[int]] = {}
    for name, rows in (("year", range(4)), ("month", range(5, 7)), ("day", range(8, 10))):
        field = fields[name]
        digits = len(field) == len(rows) and all(source[i].isdecimal() for i in field)
        for i, row in enumerate(rows):
            found[row] = [field[i]] if digits else field
    return _places(len(written), len(source), lambda i: found.get(i, ()))


def _numbers(source: Sequence[str], written: Sequence[str]) -> Places | None:
    """No word speaks of a zero, so that its row is not judged."""
    found = digit_places("".join(source))
    if found is None:
        return None
    return _places(len(written), len(source), lambda i: found.get(len(written) - 1 - i, ()))


IDEALS: dict[str, tuple[str, Callable[[Sequence[str], Sequence[str]], Places | None]]] = {
    "reverse": ("reverses", _reverse),
    "copy": ("copies", _copy),
    "sort": ("sorts", _sort),
    "addition": ("reads the column", _addition),
    "addition-reversed": ("reads the column", _addition_reversed),
    "dates": ("reads the field", _dates),
    "numbers": ("reads the digit's word", _numbers),
}
"""Task -> the verb of a head that does it, and its places from source and written tokens."""


def ideal_places(
    task: str, source: Sequence[str], written: Sequence[str]
) -> tuple[str, Places] | None:
    """The verb and the places [written, source] for one input; None where no ideal is known.

    Args:
        source, written: tokens with their ending <eos>, whose row and column are not judged.
    """
    if task not in IDEALS:
        return None
    verb, places = IDEALS[task]
    letters = [token for token in source if token != EOS]
    answer = [token for token in written if token != EOS]
    known = places(letters, answer)
    if known is None:
        return None
    found = np.zeros((len(written), len(source)), dtype=bool)
    found[: len(answer), : len(letters)] = known
    return verb, found

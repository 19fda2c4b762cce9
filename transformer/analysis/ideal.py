"""Where cross-attention would look if it solved a task by looking at the answer.

Known for tasks whose every output token comes from certain places of the input. A model may
solve the task otherwise; then its heads score low here, and that is a finding too.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from transformer.vocabulary import EOS_ID, SPECIAL_TOKENS

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


def _addition(source: Sequence[str], written: Sequence[str]) -> Places:
    return _places(
        len(written), len(source), lambda i: _column_of_digits(source, len(written) - 1 - i)
    )


def _addition_reversed(source: Sequence[str], written: Sequence[str]) -> Places:
    return _places(len(written), len(source), lambda i: _column_of_digits(source, i))


IDEALS: dict[str, tuple[str, Callable[[Sequence[str], Sequence[str]], Places]]] = {
    "reverse": ("reverses", _reverse),
    "copy": ("copies", _copy),
    "sort": ("sorts", _sort),
    "addition": ("reads the column", _addition),
    "addition-reversed": ("reads the column", _addition_reversed),
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
    if task.startswith("addition") and letters.count("+") != 1:
        return None
    found = np.zeros((len(written), len(source)), dtype=bool)
    found[: len(answer), : len(letters)] = places(letters, answer)
    return verb, found

"""Pairs as JSON, one record per line or all in one list: objects, lists, or nested objects."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

MOST_ODD = 0.1
"""Largest share of lines that may not be records."""


BEGINNING = re.compile(r"\ufeff?\s*\[\s*(?=[\[{])")
"""Start of a file that is one list of records; a record that is itself a list begins with text."""
BETWEEN = re.compile(r"[\s,]*")


def is_list(head: str) -> bool:
    """Whether a file that begins with ``head`` is one list of records."""
    began = BEGINNING.match(head)
    if began is None:
        return False
    try:
        json.JSONDecoder().raw_decode(head, began.end())
    except (ValueError, RecursionError):
        return False
    return True


def records(chunks: Iterable[str], most: int) -> Iterator[str | None]:
    """The records of a file that is one list, each as a line; None for one that is too long or not
    JSON, after which nothing more can be read.

    Args:
        chunks: the file's text, piece by piece.
        most: the largest number of characters of a record.
    """
    decoder, rest, place, began = json.JSONDecoder(), "", 0, False
    for chunk in chunks:
        rest, place = rest[place:] + chunk, 0
        if not began:
            if (found := BEGINNING.match(rest)) is None:
                continue
            place, began = found.end(), True
        while True:
            place = _after(BETWEEN, rest, place)
            try:
                value, end = decoder.raw_decode(rest, place)
            except (ValueError, RecursionError):
                break
            yield json.dumps(value, ensure_ascii=False) if end - place <= most else None
            place = end
        if len(rest) - place > most:
            yield None
            return
    if rest[place:].strip() != "]":
        yield None


def _after(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return place if found is None else found.end()


def _parsed(line: str) -> Mapping[str, object]:
    """One record: name -> value. Values of a list are named by their positions; a nested object
    (such as "translation") is replaced by its values.

    Raises:
        ValueError: it is not JSON of a pair.
    """
    try:
        record = json.loads(line.strip().removesuffix(","))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if isinstance(record, list):
        return {str(place + 1): value for place, value in enumerate(record)}
    if not isinstance(record, dict):
        raise ValueError("it is no object")
    flat: dict[str, object] = {}
    for name, value in record.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def names_of(lines: Sequence[str]) -> tuple[str, ...]:
    """The names of the fields with a text or a number, in the order of the first record."""
    records = []
    for line in lines:
        try:
            records.append(_parsed(line))
        except ValueError:
            continue
    if len(records) < (1 - MOST_ODD) * len(lines) or not records:
        return ()
    names = [name for name, value in records[0].items() if isinstance(value, str | int | float)]
    return tuple(names) if len(names) > 1 else ()


def cells_of(line: str, names: Sequence[str]) -> list[str]:
    try:
        record = _parsed(line)
    except ValueError:
        raise ValueError("the line is not the JSON of one pair") from None
    values = (record.get(name) for name in names)
    return [
        ""
        if value is None
        else value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
        for value in values
    ]

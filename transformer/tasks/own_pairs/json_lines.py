"""Pairs as JSON, one record a line: objects, lists, or objects inside objects."""

import json
from collections.abc import Mapping, Sequence

MOST_ODD = 0.1
"""The share of lines that may be no record."""


def _parsed(line: str) -> Mapping[str, object]:
    """One record by name; lists by their places; a nested object (as "translation") is opened.

    Raises:
        ValueError: it is none.
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
    """The names of the fields, of a text or a number, in the order of the first record."""
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

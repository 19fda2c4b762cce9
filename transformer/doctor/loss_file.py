"""Reads a loss curve: CSV, exports of TensorBoard and Weights & Biases, JSON, plain numbers."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transformer.errors import UserError

MOST_BYTES = 8_000_000
MOST_POINTS = 200_000
STEPS = ("step", "iter", "update", "epoch", "batch")
NO_LOSS = (
    "There is no loss in it: give a column or key with 'loss' in its name or called 'value', or "
    "numbers."
)


@dataclass(frozen=True)
class LossCurve:
    """A loss curve as read from a file.

    points: (step, loss), sorted by step, finite losses only.
    broken: the first step whose loss is not a finite number; None if all are.
    column: the name of the loss's column or key; "" for plain numbers.
    """

    points: tuple[tuple[float, float], ...]
    broken: float | None
    column: str


def read_loss(content: str | bytes) -> LossCurve:
    """Read a curve from the content of a file, or from pasted text.

    Raises:
        UserError: it is too large, or holds no curve; the message says what is expected.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"This is larger than {MOST_BYTES // 1_000_000} MB: export fewer points.")
    text = content.decode("utf-8-sig", "replace") if isinstance(content, bytes) else content
    text = text.strip()
    if not text:
        raise UserError("There is nothing in it. Give at least four losses.")
    rows, column = _from_json(text) or _from_table(text)
    if len(rows) > MOST_POINTS:
        raise UserError(f"There are more than {MOST_POINTS:,} points: export fewer.")
    rows.sort(key=lambda row: row[0])
    points = tuple((step, loss) for step, loss in rows if math.isfinite(loss))
    broken = next((step for step, loss in rows if not math.isfinite(loss)), None)
    if len(points) < 4:
        raise UserError(
            f"Losses found: {len(points)}; at least four make a curve: one per line, or a "
            "column called loss."
        )
    return LossCurve(points, broken, column)


Rows = tuple[list[tuple[float, float]], str]


def _from_json(text: str) -> Rows | None:
    """Read a JSON list or object, or one object per line; None if the text is none of these."""
    if text[0] not in "[{":
        return None
    try:
        found: Any = json.loads(text)
    except RecursionError:
        raise UserError("This JSON is nested too deeply for a curve.") from None
    except ValueError:
        found = _objects(text.splitlines())
        if not found:
            return None
    if isinstance(found, dict):
        found = found.get("history", found)
        lists = {name: value for name, value in found.items() if isinstance(value, list)}
        name = _named(list(lists))
        if name is None:
            raise UserError(NO_LOSS)
        return _numbered(lists[name]), name
    if all(isinstance(one, dict) for one in found):
        keys = list(dict.fromkeys(key for one in found for key in one))
        name = _named(keys)
        if name is None:
            raise UserError(NO_LOSS)
        step = next((key for key in keys if _is_step(key)), "")
        having = [one for one in found if name in one]
        return [
            (_number(one.get(step), place), _number(one[name]))
            for place, one in enumerate(having)
            if _is_number(one[name])
        ], name
    if all(isinstance(one, list) and len(one) >= 2 for one in found):
        # TensorBoard's rows: wall time, step, value.
        return [(_number(one[-2]), _number(one[-1])) for one in found if _is_number(one[-1])], ""
    return _numbered(found), ""


def _objects(lines: Iterable[str]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):  # such as the last line of a log still being written
            continue
        if isinstance(one, dict):
            found.append(one)
    return found


def _from_table(text: str) -> Rows:
    lines = text.splitlines()
    mark = max(",;\t", key=lines[0].count)
    if any(character.isalpha() for character in re.sub(r"nan|inf|e[-+]?\d", "", lines[0].lower())):
        head, *rows = csv.reader(io.StringIO(text), delimiter=mark)
        name = _named(head)
        if name is None:
            raise UserError(NO_LOSS)
        at = head.index(name)
        step = next((i for i, one in enumerate(head) if _is_step(one)), None)
        return [
            (_number(row[step], place) if step is not None else place, _number(row[at]))
            for place, row in enumerate(rows)
            if len(row) > max(at, step or 0) and _is_number(row[at])
        ], name
    rows = [re.split(r"[\s,;]+", line.strip()) for line in lines]
    if len(rows) > 1 and all(len(row) == 2 for row in rows if row != [""]):
        return [
            (_number(row[0]), _number(row[1]))
            for row in rows
            if len(row) == 2 and _is_number(row[1])
        ], ""
    return _numbered([one for row in rows for one in row if one]), ""


def _named(names: Sequence[Any]) -> str | None:
    """The column of the loss; training loss before validation loss, no __MIN or __MAX; or None."""
    loss = [
        name
        for name in map(str, names)
        if "loss" in name.lower() and not name.endswith(("__MIN", "__MAX"))
    ]
    training = [name for name in loss if not re.search("val|eval|test|dev", name.lower())]
    values = [str(name) for name in names if str(name).strip().lower() == "value"]
    return next(iter([*training, *loss, *values]), None)


def _is_step(name: Any) -> bool:
    lower = str(name).strip().lower().lstrip("_")
    return "loss" not in lower and any(lower.endswith(word) for word in STEPS)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, bool)


def _number(value: Any, otherwise: float = math.nan) -> float:
    return float(value) if _is_number(value) else otherwise


def _numbered(values: Sequence[Any]) -> list[tuple[float, float]]:
    numbers = [float(value) for value in values if _is_number(value)]
    if not numbers:
        raise UserError(NO_LOSS)
    return [(float(place), loss) for place, loss in enumerate(numbers)]

"""CSV files that a spreadsheet may open: no text in them is a formula."""

import csv
import io
import math
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")
"""What a spreadsheet takes for the beginning of a formula (OWASP ASVS 1.2.10)."""


def cell(value: object) -> object:
    """A value for a CSV file; text that a spreadsheet would run as a formula gets a ' in front."""
    if isinstance(value, str):
        # Without the halves of characters that no file can be written with.
        text = value.encode("utf-8", "replace").decode()
        return f"'{text}" if text.lstrip(" \n\v\f").startswith(FORMULA) else text
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return "" if value is None else value


def write_csv(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file (RFC 4180, UTF-8) in which no text is a formula."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(titles)
    writer.writerows([cell(value) for value in row] for row in rows)
    return file.getvalue().encode()

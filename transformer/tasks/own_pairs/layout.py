"""Detecting the layout of a file of pairs: what separates its cells, and which are the pair.

It is detected from the first thousand lines, shown to the user, and can be changed.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from transformer.errors import TaskError
from transformer.files import is_formula
from transformer.tasks.own_pairs import json_lines
from transformer.tasks.own_pairs.columns import LEAST_TYPED, MOST_ODD, is_number, text_rank
from transformer.tasks.own_pairs.names import is_language, is_name, is_source, is_target

ARROW = "=>"
SEPARATORS = ("->", "→", "|||", "|", "｜", ARROW)
"""Separators of source and target for those who cannot type a tab; the first listed here counts."""
LABELLED = re.compile(r"\s*IN:\s*(.*?)\s+OUT:\s*(.*)", re.IGNORECASE)
TIGHT = re.compile(r",(?!\s)(?!(?<=\d,)\d)")
"""A comma that separates cells: without a space after it, and without digits on both sides."""
CELL = re.compile(r'"((?:[^"]|"")*)"(?=,|$)|((?:[^,]|,(?=\s)|(?<=\d),(?=\d))*)')
SAMPLE_ROWS = 1_000
MOST_JOINED = 20
"""Most lines that one quoted cell may span."""
FEW_ROWS = 10
"""With fewer lines, all must agree on a third column."""
NEW_WORDS_ROWS = 20
"""Fewest lines from which words that only the first line has suggest a header."""
MARK_NAMES = {
    "\t": "tabs",
    ",": "commas",
    ";": "semicolons",
    "，": "full-width commas",
    "；": "full-width semicolons",
    "  ": "two spaces",
    "|||": "|||",
}
DELIMITERS = (("\t", False), (",", False), (";", False), (",", True))
WIDE_DELIMITERS = (("，", False), ("；", False))
"""Delimiters of Chinese and Japanese keyboards, tried if the others do not fit."""
NOTE = re.compile(r'"?sep=.[";]*|;;;.*', re.IGNORECASE)
"""Lines that are not pairs: Excel's declaration of the delimiter, and comments in a pronunciation
dictionary."""
RULE = frozenset("|+:=- \t")
"""The characters of the line below a Markdown table's header."""
FIRST_NOTE = re.compile(r"#\s[^\t]*|#[a-z ]+:[^\t]*|sep=\t", re.IGNORECASE)
"""Comments before the first pair, as Anki and other programs write them."""


@dataclass(frozen=True)
class Choices:
    """The user's statements about a file; None, or an empty text, for what is to be detected.

    source, target: the number of the column, from 0, or its name. header: whether the first line
    names the columns.
    """

    encoding: str = ""
    source: int | str | None = None
    target: int | str | None = None
    header: bool | None = None


@dataclass(frozen=True)
class Layout:
    """How a line is cut into cells, and which are the pair.

    form: "lines" (a tab, else an arrow or a bar), "csv", "labels" (IN: ... OUT: ...) or "json".
    delimiter: between cells. tight: whether only commas as in :data:`TIGHT` count.
    quoted: whether the cells of a table with tabs are quoted as by a spreadsheet.
    columns: number of cells in a line; source, target: which of them are the pair.
    header: the names of the columns; empty if the file has none.
    names_first_line: whether the first line is these names.
    """

    form: str = "lines"
    delimiter: str = "\t"
    tight: bool = False
    quoted: bool = False
    columns: int = 2
    source: int = 0
    target: int = 1
    header: tuple[str, ...] = ()
    names_first_line: bool = False

    def cells(self, line: str) -> list[str]:
        """The cells of a line that is a whole record.

        Raises:
            ValueError: it is not in this form; the message says why.
        """
        if self.form == "json":
            return json_lines.cells_of(line, self.header)
        if self.form == "labels":
            found = LABELLED.fullmatch(line)
            return list(found.groups()) if found else [line]
        if self.form == "csv":
            cells = _csv_cells(line, self.delimiter, self.tight)
            # Our exports put ' before a text that spreadsheets take for a formula: remove it.
            return [
                cell[1:] if cell[:1] == "'" and is_formula(cell[1:]) else cell for cell in cells
            ]
        if self.delimiter == "  ":
            return re.split(r"\s{2,}", line.strip(), maxsplit=1)
        if self.delimiter == "|||":
            return line.split("|||")
        cells = cut_line(line)
        if self.quoted and '"' in line:
            return [_unquoted(cell) for cell in cells]
        return cells


def is_note(line: str, first: bool) -> bool:
    """Whether a line is not a pair, but a comment or markup.

    Args:
        first: whether it is before the first pair.
    """
    if "---" in line and "|" in line and RULE.issuperset(line):
        return True
    return bool(NOTE.fullmatch(line) or (first and FIRST_NOTE.fullmatch(line)))


def cut_line(line: str, *, apart: bool = False) -> list[str]:
    """Cut a line at its tabs, or if it has none, at an arrow or a bar, which are easier to type.

    Args:
        apart: whether an arrow or a bar counts only as a separate word, and only once: for lines
            that need no target, whose text may contain such marks.
    """
    if "\t" in line:
        return line.split("\t")
    words = line.split()
    for separator in SEPARATORS:
        if apart and separator in words:
            at = words.index(separator)
            return [" ".join(words[:at]), " ".join(words[at + 1 :])]
        if not apart and separator in line:
            return line.split(separator)
    return [line]


def as_line(text: str, target: str | None) -> str:
    """A line that :func:`cut_line` cuts into these two again, with or without ``apart``."""
    if target is None and not any(separator in text for separator in SEPARATORS):
        return text
    return f"{text}\t{target or ''}"


def find_layout(lines: Sequence[str], *, comma: bool, choices: Choices) -> Layout:
    """Detect the layout of a file from its first lines that are not empty.

    Args:
        comma: whether the file's name says that it is CSV.

    Raises:
        TaskError: a column that was chosen does not exist.
    """
    lines = _records(lines) if comma else lines
    layout = _form(lines, comma)
    rows = _rows(layout, lines)
    if layout.form == "json":
        return _chosen(_with_pair(layout, rows), choices)
    widths = Counter(map(len, rows))
    agree = [(count, width == 2, width) for width, count in widths.items() if width > 1]
    count, _, width = max(agree, default=(0, True, 2))
    enough = count == len(rows) or (count >= FEW_ROWS and count >= (1 - MOST_ODD) * len(rows))
    layout = replace(layout, columns=width if width > 2 and enough else 2)
    first = rows[0] if rows else []
    same = [row for row in rows[1:] if len(row) == layout.columns]
    names = choices.header
    if names is None:
        names = len(first) == layout.columns and is_header(first, same)
    if names:
        header = tuple(" ".join(cell.split()) for cell in first)
        layout = replace(layout, header=header, names_first_line=True)
    elif len(first) == layout.columns:
        same = [first, *same]
    return _chosen(_with_pair(layout, same), choices)


# --- What separates the cells ----------------------------------------------------------------


def _form(lines: Sequence[str], comma: bool) -> Layout:
    least = (1 - MOST_ODD) * len(lines)
    if lines and lines[0].lstrip()[:1] in ("{", "["):
        names = json_lines.names_of(lines)
        if names:
            return Layout("json", columns=len(names), header=names)
    if lines and sum(LABELLED.fullmatch(line) is not None for line in lines) >= least:
        return Layout("labels")
    table = _csv(lines)
    if comma and _agreeing(table, lines) > 0:
        return table
    if lines and sum("|||" in line for line in lines) >= least:
        return Layout("lines", "|||")
    whole = Layout(quoted=_are_quoted(lines))
    if sum(len(cut_line(line)) > 1 for line in lines) * 2 >= len(lines) and lines:
        return whole
    if lines and sum(len(re.split(r"\s{2,}", line.strip())) == 2 for line in lines) >= least:
        return Layout("lines", "  ")
    alone = all(len(cut_line(line)) == 1 for line in lines)
    if lines and _agreeing(table, lines) >= (len(lines) / 2 if alone else least):
        return table
    return table if comma else whole


def _csv(lines: Sequence[str]) -> Layout:
    """The layout with the delimiter that gives the best columns."""
    judged = [_judged(Layout("csv", *one), lines) for one in DELIMITERS]
    best = max(judged, key=itemgetter(0))
    if best[0][0] * 2 < len(lines):
        judged = [_judged(Layout("csv", *one), lines) for one in WIDE_DELIMITERS]
        best = max(best, *judged, key=itemgetter(0))
    return best[1]


def _judged(layout: Layout, lines: Sequence[str]) -> tuple[tuple[int, bool, bool, float], Layout]:
    """A layout after its score; of equal scores, the caller takes the first."""
    widths = Counter(len(row) for row in _rows(layout, lines) if len(row) > 1)
    width, count = max(widths.items(), key=lambda one: (one[1], one[0] == 2), default=(0, 0))
    # On a tie, a mark that also occurs inside texts and numbers is less likely to separate cells.
    inside = 0.0 if layout.tight else _inside(layout.delimiter, lines)
    return (count, inside <= 0.5, width == 2, -inside), layout


def _records(lines: Sequence[str]) -> list[str]:
    """CSV records: lines are joined while a quotation mark is open, if it is ever closed."""
    found, place = [], 0
    while place < len(lines):
        record, end = lines[place], place + 1
        while record.count('"') % 2 and end < min(len(lines), place + MOST_JOINED):
            record, end = f"{record}\n{lines[end]}", end + 1
        whole = record.count('"') % 2 == 0
        found.append(record if whole else lines[place])
        place = end if whole else place + 1
    return found


def _inside(mark: str, lines: Sequence[str]) -> float:
    """The share of a mark's occurrences before a space, or between two digits."""
    lines = [re.sub('"[^"]*"', "", line) for line in lines]
    everywhere = sum(line.count(mark) for line in lines)
    pattern = re.compile(f"{re.escape(mark)}(?= )|(?<=\\d){re.escape(mark)}(?=\\d)")
    return sum(len(pattern.findall(line)) for line in lines) / max(1, everywhere)


def _agreeing(layout: Layout, lines: Sequence[str]) -> int:
    """Number of lines with the most frequent number of cells above one."""
    widths = Counter(len(row) for row in _rows(layout, lines) if len(row) > 1)
    return max(widths.values(), default=0)


def _rows(layout: Layout, lines: Sequence[str]) -> list[list[str]]:
    """The cells of some lines, without empty ones at the end; lines that are not records are left
    out."""
    rows = []
    for line in lines:
        try:
            rows.append(without_empty_ends(layout.cells(line)))
        except ValueError:
            continue
    return rows


def without_empty_ends(row: list[str], least: int = 2) -> list[str]:
    """Remove empty cells at the end, which a spreadsheet writes for its empty columns."""
    while len(row) > least and not row[-1].strip():
        row.pop()
    return row


def _strict(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise ValueError(str(error)) from None


def _csv_cells(line: str, delimiter: str, tight: bool) -> list[str]:
    if '"' not in line:
        return TIGHT.split(line) if tight else line.split(delimiter)
    if not tight:
        try:
            return _strict(line, delimiter)
        except ValueError as error:
            # Some programs write spaces between a quotation mark and the delimiter.
            bare = re.sub(
                rf'(?<={re.escape(delimiter)}) +(?=")|(?<=") +(?={delimiter}|$)', "", line
            )
            if bare == line or "end of data" in str(error):
                raise
            return _strict(bare, delimiter)
    cells, place = [], 0
    while True:
        found = CELL.match(line, place)
        assert found is not None  # an empty cell matches anywhere
        if found[1] is None and found[2].startswith('"'):
            raise ValueError("unexpected end of data")
        cells.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        place = found.end() + 1
        if place > len(line):
            return cells


def _are_quoted(lines: Sequence[str]) -> bool:
    """Whether a spreadsheet quoted the cells: quotes are well-formed, and needed or around all."""
    quoted = plain = needed = 0
    for line in lines:
        if "\t" not in line:
            continue
        for cell in line.split("\t"):
            if not cell.startswith('"'):
                plain += '"' not in cell
                if '"' in cell:
                    return False  # a spreadsheet would have quoted it
                continue
            inner = cell[1:-1]
            if len(cell) < 2 or cell[-1] != '"' or '"' in inner.replace('""', ""):
                return False
            quoted += 1
            needed += '"' in inner or "," in inner
    return quoted > 0 and (needed == quoted or (not plain and quoted > 4))


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    sound = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if sound else cell


# --- The first line --------------------------------------------------------------------------


def is_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names the columns: by usual names, by a column of numbers below, or
    by words that no other line has."""
    if not rows or not any(cell.strip() for cell in first):
        return False
    named = [cell for cell in first if cell.strip()]
    if sum(map(is_name, named)) * 2 > len(named) and len(named) > 1:
        languages = sum(is_language(cell) for row in rows for cell in row)
        if languages * 4 < sum(map(len, rows)):  # else it is a list of languages
            return True
    if len(rows) >= LEAST_TYPED:
        for place, cell in enumerate(first):
            column = [row[place] for row in rows]
            numbers = sum(map(is_number, column)) >= (1 - MOST_ODD) * len(column)
            if numbers and not is_number(cell) and not any(map(is_number, first)):
                return True
    return _has_new_words(first, rows)


def _has_new_words(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether no other line has a word of the first, while nearly all others share words."""
    if len(rows) < NEW_WORDS_ROWS or max(len(cell.split()) for cell in first) > 2:
        return False
    if any(mark in cell for cell in first for mark in ".!?,;"):
        return False
    counts = [Counter[str]() for _ in first]
    for row in rows:
        for place, cell in enumerate(row):
            counts[place].update(set(cell.casefold().split()))
    if any(counts[n][word] for n, cell in enumerate(first) for word in cell.casefold().split()):
        return False
    shared = sum(
        all(
            any(counts[place][word] > 1 for word in set(cell.casefold().split()))
            for place, cell in enumerate(row)
        )
        for row in rows
    )
    return shared >= (1 - MOST_ODD) * len(rows)


# --- The columns -----------------------------------------------------------------------------


def _with_pair(layout: Layout, rows: Sequence[Sequence[str]]) -> Layout:
    """Choose the columns of source and target: by their names, else the first two with texts."""
    source = next((n for n, name in enumerate(layout.header) if is_source(name)), None)
    target = next((n for n, name in enumerate(layout.header) if is_target(name)), None)
    likely = sorted(range(layout.columns), key=lambda place: (-text_rank(place, rows), place))
    if source is None and target is None:
        source, target = sorted(likely[:2]) if layout.columns > 2 else (0, 1)
    elif source is None:
        source = next(place for place in likely if place != target)
    elif target is None:
        target = next(place for place in likely if place != source)
    assert source is not None
    assert target is not None
    return replace(layout, source=source, target=target)


def _chosen(layout: Layout, choices: Choices) -> Layout:
    """Apply the user's choice of columns, by number or name.

    Raises:
        TaskError: there is no such column, or both are the same.
    """

    def place(asked: int | str | None, found: int) -> int:
        if asked is None:
            return found
        if isinstance(asked, str) and asked in layout.header:
            return layout.header.index(asked)
        if isinstance(asked, str) and asked.isdecimal():
            asked = int(asked) - 1
        if isinstance(asked, int) and 0 <= asked < layout.columns:
            return asked
        named = f", named {', '.join(layout.header)}" if layout.header else ""
        shown = asked + 1 if isinstance(asked, int) else asked
        raise TaskError(
            f"There is no column {shown!s:.40}: the file has {layout.columns} columns{named}."
        )

    source, target = place(choices.source, layout.source), place(choices.target, layout.target)
    if source == target:
        if choices.target is None:
            target = layout.source
        elif choices.source is None:
            source = layout.target
        else:
            raise TaskError("The columns of source and target are the same; choose two.")
    return replace(layout, source=source, target=target)

"""Reading a file of pairs: a line that cannot be a pair is reported with its reason.

A reader has at most a thousand lines of the file in memory, so its size costs time, not memory.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from transformer.errors import TaskError, explaining
from transformer.tasks.base import Pair
from transformer.tasks.own_pairs.file_interpretation import FileInterpretation
from transformer.tasks.own_pairs.layout import (
    MOST_JOINED,
    SAMPLE_ROWS,
    Choices,
    Layout,
    as_line,
    find_layout,
    is_note,
    without_empty_ends,
)
from transformer.tasks.own_pairs.lines import MAX_LINE_BYTES, TextLines

MAX_PAIRS = 2_000_000
MAX_TEXT = 2_000
"""Most characters of a source or a target."""
MAX_FILE_BYTES = 200_000_000
MAX_NAMED = 100
"""Most refused lines that are kept with their reasons; the others are only counted."""
SHOWN_ROWS = 5


@dataclass(frozen=True)
class PairsFile:
    """The pairs of a file, the lines refused, each with its reason, and how the file was read."""

    pairs: list[Pair]
    refused: list[tuple[int, str]]
    interpretation: FileInterpretation


def read_pairs(path: Path, target: Path | None = None, choices: Choices | None = None) -> PairsFile:
    """Read a user's file of pairs, or two files of sources and targets, line by line.

    Raises:
        TaskError: a file is missing, too large, not text, or holds no pair.
    """
    with open_pairs(path, target, choices) as reader:
        pairs = list(reader)
        return PairsFile(pairs, reader.refused, reader.interpretation)


def read_data(path: Path) -> PairsFile:
    """Read pairs as a run stores them, with one tab in every line: nothing else is interpreted.

    Any other file is read as by :func:`read_pairs`.

    Raises:
        TaskError: as for :func:`read_pairs`.
    """
    with _opened(path) as file:
        lines = TextLines(file, lists=False)
        if lines.encoding == "utf-8" and all(
            line is None or line.count("\t") == 1 or not line.strip() for _, line in lines
        ):
            reader = PairsReader(file, layout=Layout())
        else:
            reader = PairsReader(file, comma=is_csv(path))
        pairs = list(reader)
        return PairsFile(pairs, reader.refused, reader.interpretation)


def is_csv(path: Path) -> bool:
    """Whether a file's name says that commas or semicolons separate its cells."""
    return path.suffix.lower() == ".csv"


@contextmanager
def open_pairs(
    path: Path, target: Path | None = None, choices: Choices | None = None
) -> Iterator["PairsReader"]:
    """A reader of a file of pairs, or of two files of sources and targets, line by line.

    Raises:
        TaskError: a file cannot be read.
    """
    with ExitStack() as stack:
        file = stack.enter_context(_opened(path))
        if target is None:
            yield PairsReader(file, comma=is_csv(path), choices=choices)
        else:
            yield AlignedReader(file, stack.enter_context(_opened(target)), choices)


def _opened(path: Path) -> BinaryIO:
    with explaining("The file of pairs could not be read", TaskError):
        return path.open("rb")


def parse_pairs(
    content: bytes, *, comma: bool = False, choices: Choices | None = None
) -> PairsFile:
    """The pairs in a file's content. White space inside a text becomes one space.

    Raises:
        TaskError: the content is too large, not text, or holds no pair.
    """
    reader = PairsReader(io.BytesIO(content), comma=comma, choices=choices)
    pairs = list(reader)
    return PairsFile(pairs, reader.refused, reader.interpretation)


def write_pairs(pairs: Iterable[Pair]) -> str:
    """Pairs as the TSV that :func:`read_data` reads back."""
    return "".join(f"{as_line(*pair)}\n" for pair in pairs)


class PairsReader:
    """Iterates over the pairs of a file and counts the lines that it cannot use.

    Args:
        file: open for reading and seeking.
        comma: whether its name says that it is CSV.
        choices: the user's statements about it; the rest is detected.
        layout: of the file, if it is as a run stores it; None to detect it.

    Attributes:
        encoding: Python's name; guessed: whether it is a guess.
        layout: how the lines are cut, and which cells are the pair.
        preview: the cells of the first records, all columns.
        count, empty_lines, refused_count: lines so far.
        refused: line numbers and reasons, the first ``MAX_NAMED``.
        done: bytes read so far.

    Raises:
        TaskError: the file is too large, not text, has too many pairs, or, at its end, none.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        comma: bool = False,
        choices: Choices | None = None,
        layout: Layout | None = None,
    ) -> None:
        self.comma = comma
        self.count = self.empty_lines = self.refused_count = 0
        self.refused: list[tuple[int, str]] = []
        self.preview: list[list[str]] = []
        self.size = _size(file)
        choices = choices or Choices()
        self._lines = TextLines(file, choices.encoding, lists=layout is None)
        self.encoding, self.guessed = self._lines.encoding, self._lines.guessed
        self.layout = layout or self._find_layout(choices)
        self.comma = self.layout.form == "csv"

    @property
    def done(self) -> int:
        return self._lines.done

    @property
    def interpretation(self) -> FileInterpretation:
        """How the file is read."""
        return FileInterpretation(self.encoding, self.guessed, self.layout, self.preview)

    def __iter__(self) -> Iterator[Pair]:
        layout, named = self.layout, self.layout.names_first_line
        for number, row in self._rows(self._lines):
            if named and isinstance(row, list):
                named = False
                continue
            if isinstance(row, str):
                self._refuse(number, row)
                continue
            if len(self.preview) < SHOWN_ROWS:
                self.preview.append([_short(cell) for cell in row])
            cells = self._pair(row)
            reason = self._refusal(cells)
            if reason:
                self._refuse(number, reason)
            elif self.count < MAX_PAIRS:
                self.count += 1
                yield Pair(*(" ".join(cell.split()) for cell in cells))
            else:
                raise TaskError(f"There are more than {MAX_PAIRS:,} pairs; send fewer.")
        if not self.count:
            first = f" Line {self.refused[0][0]}: {self.refused[0][1]}." if self.refused else ""
            between = "a comma" if layout.form == "csv" else "a tab, an arrow or a comma"
            raise TaskError(
                f"No pair was found. Write one pair per line: source, {between}, target.{first}"
            )

    def _refuse(self, number: int, reason: str) -> None:
        self.refused_count += 1
        if len(self.refused) < MAX_NAMED:
            self.refused.append((number, reason))

    def _find_layout(self, choices: Choices) -> Layout:
        """Detect the layout from the first lines."""
        sample: list[str] = []
        for _, line in self._lines:
            if line is not None and line.strip() and not is_note(line, first=not sample):
                sample.append(line)
                if len(sample) == SAMPLE_ROWS:
                    break
        return find_layout(sample, comma=self.comma, choices=choices)

    def _rows(self, lines: TextLines) -> Iterator[tuple[int, list[str] | str]]:
        """Line numbers with their cells, or the reason why there are none; counts empty lines."""
        records = _Records(iter(lines))
        first = True
        for number, line in records:
            if line is None:
                yield number, f"the line has more than {MAX_LINE_BYTES:,} bytes"
            elif not line.strip() or is_note(line, first):
                self.empty_lines += 1
            else:
                first = False
                row: list[str] | str
                if self.layout.form == "csv" and '"' in line:
                    row = records.quoted(line, self.layout)
                else:
                    try:
                        row = self.layout.cells(line)
                    except ValueError as error:
                        row = str(error)
                if isinstance(row, list) and not any(cell.strip() for cell in row):
                    self.empty_lines += 1
                else:
                    yield number, row

    def _pair(self, row: list[str]) -> list[str]:
        """The two cells of the pair; the whole row if it has another number of columns."""
        layout = self.layout
        row = without_empty_ends(row, layout.columns)
        if len(row) == layout.columns:
            return [row[layout.source], row[layout.target]]
        return row

    def _refusal(self, row: Sequence[str]) -> str:
        """Why a row cannot be a pair; empty if it can."""
        layout = self.layout
        if len(row) != 2:
            between = "tab or arrow"
            if layout.form == "csv":
                between = {",": "comma", ";": "semicolon"}.get(layout.delimiter, "tab")
            if layout.columns > 2:
                return f"expected {layout.columns} cells as in the other lines, found {len(row)}"
            return f"expected one {between} between source and target, found {len(row) - 1}"
        for side, cell in zip(("source", "target"), row, strict=True):
            if not cell.strip():
                return f"the {side} is empty"
            if len(cell) > MAX_TEXT:
                return f"the {side} has more than {MAX_TEXT:,} characters"
            if "\0" in cell:
                return f"the {side} holds a NUL character"
        return ""


class AlignedReader(PairsReader):
    """Reads two files line by line: the sources, and the targets.

    Raises:
        TaskError: as for one file, or they do not have the same number of lines.
    """

    def __init__(self, sources: BinaryIO, targets: BinaryIO, choices: Choices | None) -> None:
        super().__init__(sources, choices=choices, layout=Layout("aligned", ""))
        _size(targets)
        self._targets = TextLines(targets, (choices or Choices()).encoding)
        self.guessed = self.guessed or self._targets.guessed

    def _rows(self, lines: TextLines) -> Iterator[tuple[int, list[str] | str]]:
        ended = ""
        number = 0
        for one, other in zip_longest(lines, self._targets):
            if one is None or other is None:
                ended = ended or ("sources" if one is None else "targets")
                number = max(number, (one or other or (0, ""))[0])
                continue
            number, source, target = one[0], one[1], other[1]
            if source is None or target is None:
                yield number, f"the line has more than {MAX_LINE_BYTES:,} bytes"
            elif not source.strip() and not target.strip():
                self.empty_lines += 1
            else:
                yield number, [source, target]
        if ended:
            raise TaskError(
                "The two files do not belong together, line by line: the file of the "
                f"{ended} ends before the other, which has {number:,} lines."
            )


class _Records:
    """Numbered lines; several can be taken as one record, and put back."""

    def __init__(self, lines: Iterator[tuple[int, str | None]]) -> None:
        self._lines = lines
        self._ahead: list[tuple[int, str | None]] = []

    def __iter__(self) -> Iterator[tuple[int, str | None]]:
        while (one := self._next()) is not None:
            yield one

    def _next(self) -> tuple[int, str | None] | None:
        return self._ahead.pop(0) if self._ahead else next(self._lines, None)

    def quoted(self, line: str, layout: Layout) -> list[str] | str:
        """The cells of a CSV record that begins in this line, or why they cannot be read.

        A quoted cell may span several lines. If its quote is never closed, only its first line is
        refused: the others are put back.
        """
        taken: list[tuple[int, str | None]] = []
        record = line
        while True:
            try:
                return layout.cells(record)
            except ValueError as error:
                if "unexpected end of data" not in str(error):
                    self._ahead[:0] = taken
                    return f"the quotation marks are not those of CSV ({error})"
            following = self._next()
            if following is not None:
                taken.append(following)
            if following is None or following[1] is None or len(taken) > MOST_JOINED:
                self._ahead[:0] = taken
                return "a quotation mark is opened and never closed"
            record += "\n" + following[1]


def _size(file: BinaryIO) -> int:
    """
    Raises:
        TaskError: the file is too large.
    """
    size = file.seek(0, io.SEEK_END)
    if size > MAX_FILE_BYTES:
        raise TaskError(
            f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB; send fewer pairs."
        )
    return size


def _short(cell: str) -> str:
    text = " ".join(cell.split())
    return text if len(text) <= 300 else text[:299] + "…"

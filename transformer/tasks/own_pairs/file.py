"""Reading a file of pairs, TSV or CSV: a line that cannot be a pair is named with its reason.

Nothing here holds more than a line or two of the file, so its size costs time, not memory.
"""

import codecs
import csv
import io
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from transformer.errors import TaskError
from transformer.tasks.base import Pair

MAX_PAIRS = 2_000_000
MAX_TEXT = 2_000
"""Characters of a source or a target."""
MAX_LINE_BYTES = 65_536
MAX_FILE_BYTES = 200_000_000
MAX_NAMED = 100
"""Refused lines kept with their reasons; the others are only counted."""

ARROW = "=>"
SEPARATORS = ("->", "→", "|", ARROW)
"""Between source and target where a tab cannot be typed; of several in a line, the first here."""
CSV_DELIMITERS = (",", ";", "\t")
"""What spreadsheets put between cells: a semicolon where the comma is the decimal sign."""
MAX_QUOTED_LINES = 20
"""Lines that one quoted cell may go over; beyond, a quote was left open."""
SAMPLE_ROWS = 1_000
CHUNK = 1 << 16
BINARY_SHARE = 0.05
"""A file with more control characters than that in its first kilobytes is hardly text."""
TEXT_BYTES = b"\t\n\v\f\r\x1c\x1d\x1e\x1f"
ENCODING_NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252 (Latin-1)",
}


@dataclass(frozen=True)
class PairsFile:
    """What was read from a file, and which lines were not, each with its reason."""

    pairs: list[Pair]
    refused: list[tuple[int, str]]


def read_pairs(path: Path) -> PairsFile:
    """Read a file: CSV if it is named so, else a tab (or =>, ->, → or |) inside each pair; where
    no line has any of those, a comma or a semicolon.

    Raises:
        TaskError: the file is missing, too large, not text, or holds no pair.
    """
    with open_pairs(path) as file:
        return _all_pairs(file, is_csv(path))


def is_csv(path: Path) -> bool:
    """Whether a file's name says that commas or semicolons separate its cells."""
    return path.suffix.lower() == ".csv"


def open_pairs(path: Path) -> BinaryIO:
    """
    Raises:
        TaskError: the file cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise TaskError(f"The file of pairs could not be read: {error.strerror}.") from None


def parse_pairs(content: bytes, *, comma: bool = False) -> PairsFile:
    """The pairs in a file's content. White space inside a text becomes one space.

    Raises:
        TaskError: the content is too large, not text, or holds no pair.
    """
    return _all_pairs(io.BytesIO(content), comma)


def _all_pairs(file: BinaryIO, comma: bool) -> PairsFile:
    reader = PairsReader(file, comma=comma)
    pairs = list(reader)
    return PairsFile(pairs, reader.refused)


def write_pairs(pairs: Iterable[Pair]) -> str:
    """Pairs as the TSV that :func:`parse_pairs` reads back."""
    return "".join(f"{as_line(*pair)}\n" for pair in pairs)


class PairsReader:
    """Iterates over the pairs of a file and counts what it could not use.

    Args:
        file: open for reading and seeking.
        comma: whether it is CSV; what is not is read so, too, if only that makes pairs of it.

    Attributes:
        encoding: as Python names it; found by looking at the whole file.
        delimiter: between cells.
        columns: cells of a line; of more than two, the first two are used.
        count, empty_lines, refused_count: lines so far.
        refused: line numbers and reasons, the first ``MAX_NAMED``.
        done: bytes read so far.

    Raises:
        TaskError: the file is too large, not text, has too many pairs, or, at its end, none.
    """

    def __init__(self, file: BinaryIO, *, comma: bool = False) -> None:
        self.count = self.empty_lines = self.refused_count = 0
        self.refused: list[tuple[int, str]] = []
        self.size = file.seek(0, io.SEEK_END)
        if self.size > MAX_FILE_BYTES:
            raise TaskError(
                f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB; send fewer pairs."
            )
        self._lines = TextLines(file)
        self.encoding = self._lines.encoding
        self.comma = comma or self._has_only_commas()
        self._find_shape()

    @property
    def done(self) -> int:
        return self._lines.done

    def __iter__(self) -> Iterator[Pair]:
        for number, row in self._rows(self.delimiter, self._lines):
            if isinstance(row, str):
                self._refuse(number, row)
                continue
            cells = row[:2] if self.columns > 2 and len(row) == self.columns else row
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
            between = "a comma" if self.comma else "a tab, an arrow or a comma"
            raise TaskError(
                f"No pair was found. Write one pair a line: source, {between}, target.{first}"
            )

    def _refuse(self, number: int, reason: str) -> None:
        self.refused_count += 1
        if len(self.refused) < MAX_NAMED:
            self.refused.append((number, reason))

    def _has_only_commas(self) -> bool:
        """Whether the first lines have commas or semicolons, and nothing else to cut them at."""
        lines = [line for _, line in islice(self._lines, SAMPLE_ROWS) if line and line.strip()]
        commas = sum("," in line or ";" in line for line in lines)
        alone = all(len(cut_line(line)) == 1 for line in lines)
        return alone and commas > 0 and 2 * commas >= len(lines)

    def _find_shape(self) -> None:
        """Delimiter and columns, from the first lines."""
        widths: dict[str, Counter[int]] = {}
        for delimiter in CSV_DELIMITERS if self.comma else ("\t",):
            widths[delimiter] = Counter()
            for _, row in self._rows(delimiter, self._lines):
                widths[delimiter][len(row) if isinstance(row, list) else 0] += 1
                if widths[delimiter].total() == SAMPLE_ROWS:
                    break
            self.empty_lines = 0
        # What cuts most lines alike, best in two. The first of equals is the comma.
        shapes = {
            mark: max(((n, width == 2, width) for width, n in found.items() if width > 1),
                      default=(0, True, 2))
            for mark, found in widths.items()
        }  # fmt: skip
        self.delimiter = max(shapes, key=lambda mark: shapes[mark][:2])
        count, _, width = shapes[self.delimiter]
        # A third column in every line (a licence, a number) is a habit of the file, no mistake.
        habit = width > 2 and count >= 10 and count >= 0.9 * widths[self.delimiter].total()
        self.columns = width if habit else 2

    def _rows(
        self, delimiter: str, lines: Iterable[tuple[int, str | None]]
    ) -> Iterator[tuple[int, list[str] | str]]:
        """Line numbers with their cells, or with why there are none; empty lines are counted."""
        ahead = deque[tuple[int, str | None]]()
        source = iter(lines)
        while True:
            number, line = ahead.popleft() if ahead else next(source, (0, ""))
            if not number:
                return
            if line is None:
                yield number, f"the line has more than {MAX_LINE_BYTES:,} bytes"
            elif not line.strip():
                self.empty_lines += 1
            elif not self.comma:
                yield number, _without_empty_ends(cut_line(line))
            elif '"' not in line:
                yield from self._csv_row(number, line.split(delimiter))
            else:
                yield from self._csv_row(
                    number, _quoted_cells(number, line, delimiter, source, ahead)
                )

    def _csv_row(self, number: int, row: list[str] | str) -> Iterator[tuple[int, list[str] | str]]:
        if isinstance(row, list) and not any(cell.strip() for cell in row):
            self.empty_lines += 1
        else:
            yield number, _without_empty_ends(row) if isinstance(row, list) else row

    def _refusal(self, row: Sequence[str]) -> str:
        """Why a row cannot be a pair; empty if it can."""
        if len(row) != 2:
            between = "comma" if self.comma else "tab or arrow"
            if self.comma and self.delimiter != ",":
                between = "semicolon" if self.delimiter == ";" else "tab"
            return f"expected one {between} between source and target, found {len(row) - 1}"
        for side, cell in zip(("source", "target"), row, strict=True):
            if not cell.strip():
                return f"the {side} is empty"
            if len(cell) > MAX_TEXT:
                return f"the {side} has more than {MAX_TEXT:,} characters"
            if "\0" in cell:
                return f"the {side} holds a NUL character"
        return ""


def cut_line(line: str, *, apart: bool = False) -> list[str]:
    """A line at its tab; where it has none, at an arrow or a bar, which are easier to type.

    Args:
        apart: an arrow or a bar counts only as a word by itself, and only the first of the line:
            for lines that need not have a target, whose text may hold such marks.
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
    """What :func:`cut_line` reads as these two again, apart or not."""
    if target is None and not any(separator in text for separator in SEPARATORS):
        return text
    return f"{text}\t{target or ''}"


def _without_empty_ends(row: list[str]) -> list[str]:
    """A spreadsheet writes its empty columns too; those after the second mean nothing."""
    while len(row) > 2 and not row[-1].strip():
        row.pop()
    return row


def _quoted_cells(
    number: int,
    line: str,
    delimiter: str,
    source: Iterator[tuple[int, str | None]],
    ahead: deque[tuple[int, str | None]],
) -> list[str] | str:
    """The cells of a CSV record that begins in this line, or why they cannot be read.

    A quoted cell may go over several lines. Where its quote is never closed, only its first line
    is lost: the others go back into ``ahead``.
    """
    taken: list[tuple[int, str | None]] = []
    record = line
    while True:
        try:
            return next(csv.reader([record], delimiter=delimiter, strict=True))
        except csv.Error as error:
            if "unexpected end of data" not in str(error):
                ahead.extendleft(reversed(taken))
                return f"the quotation marks are not those of CSV ({error})"
        following = ahead.popleft() if ahead else next(source, None)
        if following is not None:
            taken.append(following)
        if following is None or following[1] is None or len(taken) > MAX_QUOTED_LINES:
            ahead.extendleft(reversed(taken))
            return "a quotation mark is opened and never closed"
        record += "\n" + following[1]


class TextLines:
    """The decoded lines of a file with their numbers; None for one that is too long.

    Every iteration starts at the beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.done = 0
        file.seek(0)
        head = file.read(CHUNK)
        _refuse_binary(head)
        self._newline = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
        self.encoding = "utf-8"
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            little = head.startswith(codecs.BOM_UTF16_LE)
            self.encoding = "utf-16-le" if little else "utf-16-be"
            # Its line ends are two bytes each, and tell nothing before it is decoded.
            self._newline = b"\n"
        elif not self._is_utf8():
            self.encoding = self._single_byte_encoding()

    def __iter__(self) -> Iterator[tuple[int, str | None]]:
        encoding = "cp1252" if self.encoding == "cp1252" else "utf-8"
        for number, line in enumerate(self._split(), start=1):
            if line is None:
                yield number, None
                continue
            text = line.decode(encoding)
            if number == 1:
                text = text.removeprefix("\ufeff")
            yield number, text.rstrip("\r")

    def _chunks(self) -> Iterator[bytes]:
        """The file's bytes; those of UTF-16 as UTF-8."""
        self._file.seek(0)
        self.done = 0
        decoder = codecs.getincrementaldecoder(self.encoding)()
        lines = 0
        while True:
            chunk = self._file.read(CHUNK)
            self.done += len(chunk)
            if self.encoding.startswith("utf-16"):
                try:
                    text = decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    sound = error.object[: error.start].decode(self.encoding, "ignore")
                    line = lines + sound.count("\n") + 1
                    raise TaskError(
                        f"The file is marked as UTF-16 but is not UTF-16 text (line {line:,}); "
                        "save it as UTF-8 and send it again."
                    ) from None
                lines += text.count("\n")
                if text:
                    yield text.encode()
            elif chunk:
                yield chunk
            if not chunk:
                return

    def _split(self) -> Iterator[bytes | None]:
        rest, skipping = b"", False
        for chunk in self._chunks():
            *whole, rest = (rest + chunk).split(self._newline)
            for line in whole:
                yield None if skipping or len(line) > MAX_LINE_BYTES else line
                skipping = False
            if len(rest) > MAX_LINE_BYTES:
                rest, skipping = b"", True
        if rest or skipping:
            yield None if skipping else rest

    def _is_utf8(self) -> bool:
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            for chunk in self._chunks():
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return True

    def _single_byte_encoding(self) -> str:
        """Windows-1252, the superset of Latin-1, if that is what the file can only be.

        Its letters with accents are never UTF-8 by chance in every line; a file that has lines of
        both kinds is damaged, and reading it either way would change texts in silence.

        Raises:
            TaskError: it is damaged UTF-8, or neither; names the first line.
        """
        bad, sound = 0, False
        for number, line in enumerate(self._split(), start=1):
            if line is None or line.isascii():
                continue
            try:
                line.decode("utf-8")
                sound = True
            except UnicodeDecodeError:
                bad = bad or number
            try:
                foreign = any("\x7f" <= mark <= "\x9f" for mark in line.decode("cp1252"))
            except UnicodeDecodeError:
                foreign = True
            if bad and (sound or foreign):
                break
        else:
            return "cp1252"
        raise TaskError(
            f"The file is not UTF-8 text (line {bad:,}); save it as UTF-8 and send it again."
        )


def _refuse_binary(head: bytes) -> None:
    """
    Raises:
        TaskError: these first bytes are those of no text file.
    """
    for magic, kind in (
        (b"PK\x03\x04", "an Excel workbook or a zip archive"),
        (b"%PDF-", "a PDF"),
        (b"\x1f\x8b", "a gzip archive"),
    ):
        if head.startswith(magic):
            raise TaskError(
                f"This is {kind}, not a text file (line 1). Save the table as CSV or TSV in UTF-8."
            )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return
    sample = head[:4096]
    controls = [place for place, byte in enumerate(sample) if byte < 32 and byte not in TEXT_BYTES]
    if len(sample) < 64 or len(controls) <= BINARY_SHARE * len(sample):
        return
    if b"\0" in sample or not _is_utf8(sample):
        line = sample[: controls[0]].count(b"\n") + 1
        raise TaskError(
            f"This is not a text file (line {line} holds binary data). Save the table as CSV or "
            "TSV in UTF-8."
        )


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True

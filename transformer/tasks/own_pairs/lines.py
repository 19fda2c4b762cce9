"""The lines of a text file in any known encoding, read one after the other."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from transformer.errors import TaskError
from transformer.tasks.own_pairs.encodings import NAMES, WIDE, foreign_words, ranked
from transformer.tasks.own_pairs.json_lines import is_list, records

MAX_LINE_BYTES = 65_536
CHUNK = 1 << 16
SAMPLE_BYTES = 4_000_000
"""Bytes of a file that is not UTF-8 from which its encoding is guessed."""
CHANCE = 20
BINARY_SHARE = 0.05
"""Share of control characters in the first kilobytes above which a file is not text."""
LEAST_UNITS, ZERO_SHARE = 8, 0.2
"""Fewest characters from which UTF-16 is recognised, and the share of them that must be ASCII."""
TEXT_BYTES = b"\t\n\v\f\r\x1c\x1d\x1e\x1f"


class TextLines:
    """The decoded lines of a file with their numbers; None for a line that is too long.

    Every iteration starts at the beginning.

    Args:
        encoding: Python's name; empty to detect it.
        lists: whether a file that begins as a list in JSON is one; else its lines are as they are.

    Attributes:
        encoding: the one used; guessed: whether it is a guess.

    Raises:
        TaskError: the file is not text, or in no known encoding.
    """

    def __init__(self, file: BinaryIO, encoding: str = "", lists: bool = True) -> None:
        self._file = file
        self.done = 0
        self.guessed = False
        file.seek(0)
        head = file.read(CHUNK)
        _refuse_binary(head)
        self._newline = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
        self.encoding = "utf-8"
        if encoding:
            if encoding not in NAMES:
                raise TaskError(f"The encoding {encoding[:40]!r} is not one of {', '.join(NAMES)}.")
            self.encoding = encoding
            if encoding == "utf-8" and not self._is(encoding):
                raise TaskError("The file is not UTF-8 text; name another encoding.")
        elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            little = head.startswith(codecs.BOM_UTF16_LE)
            self.encoding = "utf-16-le" if little else "utf-16-be"
        elif found := _utf_16(head):
            self.encoding, self.guessed = found, True
        elif not self._is("utf-8"):
            self.encoding, self.guessed = self._guess(), True
        if self.encoding.startswith("utf-16"):
            text = head[: len(head) // 2 * 2].decode(self.encoding, "ignore")
            self._newline = b"\r" if "\r" in text and "\n" not in text else b"\n"
        self._is_list = lists and is_list(head.decode(self.encoding, "ignore"))

    def __iter__(self) -> Iterator[tuple[int, str | None]]:
        if self._is_list:
            yield from enumerate(records(self._texts(), MAX_LINE_BYTES), start=1)
            return
        for number, line in enumerate(self._split(), start=1):
            if line is None:
                yield number, None
                continue
            # In joined files, a UTF-8 byte order mark may also be in the middle.
            yield number, line.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r")

    def _chunks(self) -> Iterator[bytes]:
        """The file's bytes as UTF-8."""
        self._file.seek(0)
        self.done = 0
        decoder = codecs.getincrementaldecoder(self.encoding)()
        lines = 0
        while True:
            chunk = self._file.read(CHUNK)
            self.done += len(chunk)
            if self.encoding != "utf-8":
                try:
                    text = decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    sound = error.object[: error.start].decode(self.encoding, "ignore")
                    line = lines + sound.count("\n") + 1
                    raise TaskError(
                        f"The file is not {NAMES[self.encoding]} text (line {line:,}); save it as "
                        "UTF-8 and send it again."
                    ) from None
                lines += text.count("\n")
                if text:
                    yield text.encode()
            elif chunk:
                yield chunk
            if not chunk:
                return

    def _texts(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return map(decoder.decode, self._chunks())

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

    def _is(self, encoding: str) -> bool:
        """Whether the whole file can be decoded with this encoding."""
        decoder = codecs.getincrementaldecoder(encoding)()
        self._file.seek(0)
        try:
            while chunk := self._file.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return True

    def _guess(self) -> str:
        """The most likely encoding in which the whole file can be read.

        A file with some lines in UTF-8 and some in another encoding is damaged, and reading it in
        either would silently change texts.

        Raises:
            TaskError: it is damaged UTF-8, or in no known encoding; names the first such line.
        """
        bad = sound = first = 0
        sample = bytearray()
        for number, line in enumerate(self._split(), start=1):
            if line is None or line.isascii():
                continue
            try:
                line.decode("utf-8")
                sound += 1
            except UnicodeDecodeError:
                bad, first = bad + 1, first or number
            if len(sample) < SAMPLE_BYTES:
                sample += line + b"\n"
        for encoding in ranked(foreign_words(bytes(sample))):
            # A short line in another encoding can be valid UTF-8 by chance; with two bytes per
            # character, that is more frequent.
            by_chance = encoding in WIDE or sound * CHANCE <= bad
            if by_chance and self._is(encoding):
                return encoding
        raise TaskError(
            f"The file is not UTF-8 text (line {first:,}); save it as UTF-8 and send it again."
        )


def _refuse_binary(head: bytes) -> None:
    """
    Raises:
        TaskError: these first bytes are not those of a text file.
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
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _utf_16(head):
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


def _utf_16(head: bytes) -> str:
    """UTF-16 without a byte order mark, where every other byte of ASCII is zero; "" if not."""
    even, odd = head[:4096:2], head[1:4096:2]
    if len(odd) < LEAST_UNITS:
        return ""
    for encoding, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if high.count(0) > ZERO_SHARE * len(high) and not low.count(0):
            return encoding
    return ""


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True

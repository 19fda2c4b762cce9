"""A person's own pairs: a TSV or CSV file, one source and its target a line."""

import csv
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from transformer.config import DataConfig
from transformer.errors import TaskError
from transformer.tasks.base import Pair, Task
from transformer.vocabulary import Vocabulary

SEVEN_PAIRS = Path(__file__).with_name("seven_pairs.tsv")
"""Seven English sentences and their German translations, to be learned by heart."""

TYPED_SEPARATORS = ("->", "→", "|")
MAX_PAIRS = 200_000
MAX_TEXT = 2_000
MAX_FILE_BYTES = 50_000_000


@dataclass(frozen=True)
class PairsFile:
    """What was read from a file, and which lines were not, each with its reason."""

    pairs: list[Pair]
    refused: list[tuple[int, str]]


def read_pairs(path: Path) -> PairsFile:
    """Read a UTF-8 file: CSV if it is named so, else a tab (or ->, → or |) inside each pair.

    Raises:
        TaskError: the file is missing, too large, not UTF-8, or holds no pair.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TaskError(f"The file of pairs could not be read: {error.strerror}.") from None
    return parse_pairs(content, comma=path.suffix.lower() == ".csv")


def parse_pairs(content: bytes, *, comma: bool = False) -> PairsFile:
    """The pairs in a file's content. White space inside a text becomes one space.

    Raises:
        TaskError: the content is too large, not UTF-8 text, or holds no pair.
    """
    if len(content) > MAX_FILE_BYTES:
        raise TaskError(
            f"The file is larger than {MAX_FILE_BYTES // 1_000_000} MB; send fewer pairs."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TaskError(
            f"The file is not UTF-8 text (line {line}); save it as UTF-8 and send it again."
        ) from None
    pairs: list[Pair] = []
    refused: list[tuple[int, str]] = []
    for number, row in _rows(text, comma):
        reason = _refusal(row, comma)
        if reason:
            refused.append((number, reason))
        elif len(pairs) < MAX_PAIRS:
            pairs.append(Pair(*(" ".join(cell.split()) for cell in row)))
        else:
            raise TaskError(f"There are more than {MAX_PAIRS:,} pairs; send fewer.")
    if not pairs:
        first = f" Line {refused[0][0]}: {refused[0][1]}." if refused else ""
        between = "a comma" if comma else "a tab or an arrow"
        raise TaskError(
            f"No pair was found. Write one pair a line: source, {between}, target.{first}"
        )
    return PairsFile(pairs, refused)


def _rows(text: str, comma: bool) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and their cells; empty lines are passed over."""
    if comma:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise TaskError(f"Line {reader.line_num} is not CSV: {error}.") from None
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield number, _cells(line.rstrip("\r"))


def _cells(line: str) -> list[str]:
    """A line at its tab; where it has none, at an arrow or a bar, which are easier to type."""
    for separator in ("\t", *TYPED_SEPARATORS):
        if separator in line:
            return line.split(separator)
    return [line]


def _refusal(row: Sequence[str], comma: bool) -> str:
    """Why a row cannot be a pair; empty if it can."""
    if len(row) != 2:
        between = "comma" if comma else "tab or arrow"
        return f"expected one {between} between source and target, found {len(row) - 1}"
    for side, cell in zip(("source", "target"), row, strict=True):
        if not cell.strip():
            return f"the {side} is empty"
        if len(cell) > MAX_TEXT:
            return f"the {side} has more than {MAX_TEXT:,} characters"
        if "\0" in cell:
            return f"the {side} holds a NUL character"
    return ""


def write_pairs(pairs: Iterable[Pair]) -> str:
    """Pairs as the TSV that :func:`parse_pairs` reads back."""
    return "".join(f"{pair.source}\t{pair.target}\n" for pair in pairs)


class OwnPairs(Task):
    """Pairs from a file, cut into characters, words or byte-pair pieces.

    With ``held_out`` above 0, that share of the distinct sources is kept out of training,
    chosen by their checksums; with 0, the model is evaluated on the pairs it learns from.
    """

    name = "pairs"
    title = "Your own pairs"
    description = "Learn from a file of your own: a source text and its target on each line."
    look_for = (
        "Trained on many pairs, cross-attention links each target token to the source tokens it "
        "translates. A model that learned a few pairs by heart needs no such links."
    )
    example = Pair("good morning", "guten Morgen")
    default_preset = "medium"
    data_fields = ("tokens", "bpe_size", "held_out")

    def __init__(self, data: DataConfig, pairs: Sequence[Pair]) -> None:
        self.example = pairs[0]
        sources = sorted({pair.source for pair in pairs}, key=lambda s: (zlib.crc32(s.encode()), s))
        if data.held_out > 0 and len(sources) < 2:
            raise TaskError("At least two different sources are needed to hold one out.")
        count = max(1, round(len(sources) * data.held_out)) if data.held_out > 0 else 0
        held_out = set(sources[:count])
        self._train = [pair for pair in pairs if pair.source not in held_out]
        self._held_out = [pair for pair in pairs if pair.source in held_out] or self._train
        self.source_vocabulary, self.target_vocabulary = (
            Vocabulary.build(data.tokens, (pair[side] for pair in pairs), data.bpe_size)
            for side in range(2)
        )

    def epoch(self, seed: int, number: int, batch_size: int) -> list[Pair]:
        pairs = list(self._train)
        Random(f"{self.name}/{seed}/{number}").shuffle(pairs)
        return pairs

    def held_out(self, count: int) -> list[Pair]:
        return self._held_out[:count]

    def longest(self) -> tuple[int, int]:
        pairs = {*self._train, *self._held_out}
        return (
            max(len(self.source_vocabulary.cut(pair.source)) for pair in pairs),
            max(len(self.target_vocabulary.cut(pair.target)) for pair in pairs),
        )

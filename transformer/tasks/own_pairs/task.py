"""The user's own pairs: a TSV or CSV file with one source and its target per line."""

import tempfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from random import Random

from transformer.config import DataConfig
from transformer.errors import TaskError
from transformer.tasks.base import Pair, Task
from transformer.tasks.own_pairs.file import (
    MAX_TEXT,
    PairsFile,
    parse_pairs,
    read_data,
    read_pairs,
    write_pairs,
)
from transformer.vocabulary import Vocabulary

__all__ = [
    "MAX_TEXT",
    "SEVEN_PAIRS",
    "OwnPairs",
    "PairsFile",
    "as_stored",
    "held_out_count",
    "parse_pairs",
    "read_data",
    "read_pairs",
    "write_pairs",
]

SEVEN_PAIRS = Path(__file__).parents[1] / "seven_pairs.tsv"
"""Seven English sentences and their German translations, to be learned by heart."""
MAX_LOOKUP_BYTES = 1_000_000
"""Largest file of pairs, in bytes, in which a source is looked up."""


@contextmanager
def as_stored(brought: Path | None) -> Iterator[Path | None]:
    """The user's file of pairs as a run stores it, without the lines that training leaves out.

    Raises:
        TaskError: it holds no pairs, or cannot be read.
    """
    if brought is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data.tsv")
        data.write_text(write_pairs(read_pairs(brought).pairs), "utf-8")
        yield data


def held_out_count(sources: int, share: float) -> int:
    """How many of ``sources`` different sources are held out of training.

    Raises:
        TaskError: there are too few to hold one out.
    """
    if share == 0:
        return 0
    if sources < 2:
        raise TaskError("At least two different sources are needed to hold one out.")
    return max(1, round(sources * share))


def normalised(text: str) -> str:
    """One text for all texts that look equal, such as é as one character and as two."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def held_out_sources(pairs: Iterable[Pair], share: float) -> set[str]:
    """The sources that are held out of training, each as :func:`normalised` gives it.

    Raises:
        TaskError: there are too few to hold one out.
    """
    sources = {normalised(pair.source) for pair in pairs}
    by_checksum = sorted(sources, key=lambda source: (zlib.crc32(source.encode()), source))
    return set(by_checksum[: held_out_count(len(sources), share)])


def trains_on(file: Path, share: float, source: str) -> bool | None:
    """Whether a model of these pairs was trained on a source; None if that cannot be known.

    Args:
        file: the pairs, which no longer change.
        share: the share of the sources that was held out.
    """
    try:
        known = _training_sources(file, file.stat().st_mtime_ns, share)
    except (OSError, TaskError):
        return None
    if normalised(source) in known:
        return True
    # Cut into words, texts that differ only in their spaces are the same.
    squeezed = " ".join(source.split())
    return None if any(" ".join(one.split()) == squeezed for one in known) else False


@lru_cache(maxsize=8)
def _training_sources(file: Path, changed: int, share: float) -> frozenset[str]:
    """The sources in training.

    Args:
        changed: the file's modification time, for the cache: its name may be another run's by now.

    Raises:
        TaskError: it is too large to be read while a user waits, or is not a file of pairs.
    """
    if file.stat().st_size > MAX_LOOKUP_BYTES:
        raise TaskError("These are too many pairs to look one up.")
    pairs = read_data(file).pairs
    return frozenset({normalised(pair.source) for pair in pairs} - held_out_sources(pairs, share))


class OwnPairs(Task):
    """Pairs from a file, cut into characters, words or byte-pair pieces.

    With ``held_out`` above 0, that share of the distinct sources is kept out of training,
    chosen by their checksums; with 0, the model is evaluated on the pairs it learns from.
    """

    name = "pairs"
    title = "Own pairs"
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
        held_out = held_out_sources(pairs, data.held_out)
        self._train = [pair for pair in pairs if normalised(pair.source) not in held_out]
        self._held_out = [
            pair for pair in pairs if normalised(pair.source) in held_out
        ] or self._train
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

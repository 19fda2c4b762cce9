"""What a file of pairs holds, found by streaming over it: counts, lengths, vocabularies, advice.

A survey has all that a form must show and a run's config must know, so that whoever asks need
not hold the pairs. ``python -m transformer pairs FILE --json`` prints one.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from transformer.errors import TaskError, UserError, VocabularyError
from transformer.files import write_atomic
from transformer.tasks.base import Facts, Pair
from transformer.tasks.pairs_file import PairsReader, is_csv, open_pairs
from transformer.vocabulary import KINDS, Vocabulary

FEW_PAIRS = 100
"""Fewer can be learned by heart, but not generalised from."""
SOME_PAIRS = 2_000
MANY_PAIRS = 20_000
SMALL_VOCABULARY = 3_000
RARE_SHARE = 0.3
"""Where more of the different words than that occur only once, words are a poor choice."""
PRESET_LENGTH = 128
"""``max_length`` of the small presets."""
LENGTH_STEP = 32
BPE_SIZES = (1_000, 4_000)
"""Most byte-pair tokens suggested for fewer and for more than ``MANY_PAIRS``."""

MAX_WORDS = 2_000_000
"""Different words counted; beyond, a file holds no words in any useful sense."""
BINS = 16
SHOWN_TOKENS = 12
SHOWN_PAIRS = 5
REPORT_EVERY = 5_000
MAX_MEMORY = 3 << 30
"""Bytes that the process of a survey may take, where the system can hold it to that."""

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Side:
    """The sources or the targets under one tokeniser.

    size: tokens in the vocabulary, the special ones included.
    longest, median: tokens of a text, without <bos> and <eos>.
    lengths: histogram, [from, to, texts]; the last bin takes all longer ones.
    frequent, rare: tokens and how often they occur, the most frequent and the rarest.
    once: tokens that occur only once.
    """

    size: int
    longest: int
    median: int
    lengths: list[list[int]]
    frequent: list[tuple[str, int]]
    rare: list[tuple[str, int]]
    once: int


@dataclass(frozen=True)
class Cut:
    """Both sides under one tokeniser; ``error`` says why it cannot be used, and then no side is.

    one_vocabulary: whether source and target have the same tokens.
    """

    source: Side | None = None
    target: Side | None = None
    one_vocabulary: bool = False
    error: str = ""

    @property
    def facts(self) -> Facts:
        """
        Raises:
            TaskError: these pairs cannot be cut this way.
        """
        if self.source is None or self.target is None:
            raise TaskError(self.error)
        return Facts(
            (self.source.size, self.target.size),
            (self.source.longest, self.target.longest),
            self.one_vocabulary,
        )


@dataclass(frozen=True)
class Suggestion:
    """A tokeniser and a preset, each with its reason in a sentence."""

    tokens: str
    tokens_reason: str
    preset: str
    preset_reason: str
    bpe_size: int
    max_length: int


@dataclass(frozen=True)
class Survey:
    """What was found in a file of pairs.

    pairs, empty_lines, refused: counts of lines.
    named: the first refused lines, each with its reason.
    sources: different sources; duplicates: pairs that occurred before; ambiguous: sources with
    more than one target.
    encoding, delimiter, columns: how the file was read.
    preview: the first pairs.
    cuts: by tokeniser.
    bpe_size: which the byte pairs were limited to.
    """

    pairs: int
    empty_lines: int
    refused: int
    named: list[tuple[int, str]]
    sources: int
    duplicates: int
    ambiguous: int
    encoding: str
    delimiter: str
    columns: int
    preview: list[tuple[str, str]]
    cuts: dict[str, Cut]
    bpe_size: int
    suggestion: Suggestion

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read what ``dataclasses.asdict`` made of one."""
        cuts = {
            kind: Cut(
                *(Side(**cut[side]) if cut[side] else None for side in ("source", "target")),
                cut["one_vocabulary"],
                cut["error"],
            )
            for kind, cut in plain["cuts"].items()
        }
        return cls(**{**plain, "cuts": cuts, "suggestion": Suggestion(**plain["suggestion"])})


def survey(
    source: Path, data: Path, *, bpe_size: int | None = None, progress: Progress = lambda _: None
) -> Survey:
    """Read a file of pairs, write them to ``data`` as TSV, and say what they are.

    Args:
        source: TSV, or CSV if it is named so.
        data: where the pairs go, in the form in which a run keeps them.
        bpe_size: most byte-pair tokens; chosen by the number of pairs if None.
        progress: told the share of the work that is done.

    Raises:
        TaskError: the file holds no pairs, or cannot be read.
    """
    try:
        counts = _Counts()
        with open_pairs(source) as file, data.open("w", encoding="utf-8", newline="\n") as out:
            reader = PairsReader(file, comma=is_csv(source))
            for pair in reader:
                out.write(f"{pair.source}\t{pair.target}\n")
                counts.add(pair)
                if reader.count % REPORT_EVERY == 0:
                    progress(0.5 * reader.done / max(1, reader.size))
        size = bpe_size or BPE_SIZES[reader.count > MANY_PAIRS]
        cuts = counts.cuts() | {"bpe": _byte_pairs(data, counts, size, progress)}
    except MemoryError:
        raise TaskError("The file has more different texts than fit into memory.") from None
    return Survey(
        pairs=reader.count,
        empty_lines=reader.empty_lines,
        refused=reader.refused_count,
        named=reader.refused,
        sources=len(counts.targets_of),
        duplicates=counts.duplicates,
        ambiguous=len(counts.ambiguous),
        encoding=reader.encoding,
        delimiter=reader.delimiter,
        columns=reader.columns,
        preview=counts.preview,
        cuts={kind: cuts[kind] for kind in KINDS},
        bpe_size=size,
        suggestion=_suggest(reader.count, len(counts.targets_of), cuts, size),
    )


def survey_into(folder: Path, source: Path, progress: Progress = lambda _: None) -> None:
    """Write ``data.tsv`` and ``survey.json`` into a folder; a refusal as its sentence."""
    data = folder / "data.tsv"
    partial = folder / "data.tsv.partial"
    try:
        found = asdict(survey(source, partial, progress=progress))
        partial.replace(data)
    except UserError as error:
        partial.unlink(missing_ok=True)
        found = {"error": str(error)}
    write_atomic(folder / "survey.json", json.dumps(found).encode())


def limit_memory() -> None:
    """Keep this process from taking the machine's memory along with its own."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(
        resource.RLIMIT_DATA, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1])
    )


def words(found: Survey) -> str:
    """A survey for the terminal."""
    lines = [
        f"{found.pairs:,} pairs of {found.sources:,} different sources; left out: {found.refused:,}"
        f" lines, empty: {found.empty_lines:,}, twice: {found.duplicates:,}",
        *(f"line {number} left out: {reason}" for number, reason in found.named[:10]),
        *(
            f"{kind}: {cut.source.size:,} and {cut.target.size:,} tokens, the longest texts have "
            f"{cut.source.longest} and {cut.target.longest}"
            if cut.source and cut.target
            else f"{kind}: {cut.error}"
            for kind, cut in found.cuts.items()
        ),
        f"suggested: --preset {found.suggestion.preset} --tokens {found.suggestion.tokens}",
    ]
    return "\n".join(lines)


class _Counts:
    """What one pass over the pairs collects."""

    def __init__(self) -> None:
        self.words = Counter[str](), Counter[str]()
        self.characters = Counter[str](), Counter[str]()
        self.word_lengths = Counter[int](), Counter[int]()
        self.character_lengths = Counter[int](), Counter[int]()
        self.too_many_words = False
        self.preview: list[tuple[str, str]] = []
        # Hashes in place of texts: a large file's sources would not fit.
        self.targets_of: dict[int, int] = {}
        self.ambiguous: set[int] = set()
        self.seen: set[int] = set()
        self.duplicates = 0

    def add(self, pair: Pair) -> None:
        if len(self.preview) < SHOWN_PAIRS:
            self.preview.append(tuple(pair))
        for side, text in enumerate(pair):
            words = text.split(" ")
            self.words[side].update(words)
            self.word_lengths[side][len(words)] += 1
            self.character_lengths[side][len(text)] += 1
            if len(self.words[side]) > MAX_WORDS:
                self._fold(side)
                self.too_many_words = True
                self.words[side].clear()
        source, target, both = hash(pair.source), hash(pair.target), hash(pair)
        if self.targets_of.setdefault(source, target) != target:
            self.ambiguous.add(source)
        if both in self.seen:
            self.duplicates += 1
        self.seen.add(both)

    def _fold(self, side: int) -> None:
        """Count the characters of the words so far: each different word is looked at once."""
        for word, count in self.words[side].items():
            for mark in word:
                self.characters[side][mark] += count

    def cuts(self) -> dict[str, Cut]:
        for side in range(2):
            self._fold(side)
            spaces = sum((n - 1) * count for n, count in self.word_lengths[side].items())
            if spaces:
                self.characters[side][" "] = spaces
        words = (
            Cut(error=f"There are more than {MAX_WORDS:,} different words; use characters.")
            if self.too_many_words
            else _cut("words", self.words, self.word_lengths)
        )
        return {
            "characters": _cut("characters", self.characters, self.character_lengths),
            "words": words,
        }


def _cut(kind: str, counts: tuple[Counter[str], ...], lengths: tuple[Counter[int], ...]) -> Cut:
    try:
        vocabularies = [Vocabulary.of_counts(kind, side) for side in counts]
    except VocabularyError as error:
        return Cut(error=str(error))
    sides = map(_side, vocabularies, counts, lengths)
    return Cut(*sides, one_vocabulary=vocabularies[0] == vocabularies[1])


def _byte_pairs(data: Path, counts: _Counts, size: int, progress: Progress) -> Cut:
    if counts.too_many_words:
        return Cut(error=f"There are more than {MAX_WORDS:,} different words; use characters.")
    vocabularies, sides = [], []
    try:
        for side, words in enumerate(counts.words):
            begun = 0.5 + 0.25 * side
            total = sum(words.values())
            vocabulary = Vocabulary.build(
                "bpe", _reported(_texts(data, side), total, begun, progress), size
            )
            # A byte-pair token never goes over a space, so each different word is cut once.
            tokens, pieces = Counter[str](), dict[str, int]()
            source = iter(words)
            while batch := list(islice(source, REPORT_EVERY)):
                for word, ids in zip(batch, vocabulary.encode_all(batch), strict=True):
                    pieces[word] = len(ids)
                    for number in ids:
                        tokens[vocabulary.tokens[number]] += words[word]
            progress(begun + 0.2)
            lengths = Counter(
                sum(map(pieces.__getitem__, text.split(" "))) for text in _texts(data, side)
            )
            vocabularies.append(vocabulary)
            sides.append(_side(vocabulary, tokens, lengths))
    except VocabularyError as error:
        return Cut(error=str(error))
    return Cut(*sides, one_vocabulary=vocabularies[0] == vocabularies[1])


def _texts(data: Path, side: int) -> Iterator[str]:
    """One side of the TSV that a survey wrote."""
    with data.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")[side]


def _reported(texts: Iterable[str], words: int, begun: float, progress: Progress) -> Iterator[str]:
    done = 0
    for number, text in enumerate(texts, start=1):
        done += text.count(" ") + 1
        if number % REPORT_EVERY == 0:
            progress(begun + 0.1 * done / max(1, words))
        yield text


def _side(vocabulary: Vocabulary, counts: Counter[str], lengths: Counter[int]) -> Side:
    ranked = counts.most_common()
    return Side(
        size=len(vocabulary),
        longest=max(lengths),
        median=_quantile(lengths, 0.5),
        lengths=_histogram(lengths),
        frequent=ranked[:SHOWN_TOKENS],
        rare=ranked[SHOWN_TOKENS:][-SHOWN_TOKENS:][::-1],
        once=sum(count == 1 for count in counts.values()),
    )


def _quantile(lengths: Counter[int], share: float) -> int:
    """The length that this share of the texts does not exceed."""
    left = share * lengths.total()
    for length in sorted(lengths):
        left -= lengths[length]
        if left <= 0:
            return length
    return max(lengths)


def _histogram(lengths: Counter[int]) -> list[list[int]]:
    """At most ``BINS`` equally wide bins up to the 99th percentile; the last takes the rest."""
    low, high = min(lengths), _quantile(lengths, 0.99)
    width = max(1, -(-(high - low + 1) // BINS))
    bins = [[start, start + width - 1, 0] for start in range(low, high + 1, width)]
    for length, count in lengths.items():
        bins[min((length - low) // width, len(bins) - 1)][2] += count
    bins[-1][1] = max(bins[-1][1], max(lengths))
    return bins


def _suggest(pairs: int, sources: int, cuts: Mapping[str, Cut], bpe_size: int) -> Suggestion:
    tokens, why = _suggest_tokens(pairs, cuts)
    if pairs < FEW_PAIRS or sources < 2:
        preset = "overfit"
        preset_why = (
            "So few pairs can be learned by heart, but not generalised from, so it is trained "
            "and tested on all of them."
        )
    elif pairs < SOME_PAIRS:
        preset = "small"
        preset_why = f"A larger model would learn {pairs:,} pairs by heart."
    else:
        preset = "medium"
        preset_why = f"{pairs:,} pairs are enough for a wider model."
    cut = cuts[tokens]
    longest = 1 + max(side.longest for side in (cut.source, cut.target) if side is not None)
    room = -(-longest // LENGTH_STEP) * LENGTH_STEP
    return Suggestion(tokens, why, preset, preset_why, bpe_size, max(PRESET_LENGTH, room))


def _suggest_tokens(pairs: int, cuts: Mapping[str, Cut]) -> tuple[str, str]:
    usable = {kind: cut for kind, cut in cuts.items() if not cut.error}
    if not usable:
        raise TaskError(next(cut.error for cut in cuts.values()))
    words = usable.get("words")
    if words is None or words.source is None or words.target is None:
        kind = "bpe" if "bpe" in usable else "characters"
        return kind, f"Words cannot be used here. {cuts['words'].error}"
    sides = (words.source, words.target)
    if all(side.median == 1 for side in sides) and "characters" in usable:
        return "characters", "Most texts are single words, so their letters are what there is."
    if pairs < FEW_PAIRS:
        return "words", "So few texts are learned whole, and words keep them short."
    once = sum(side.once for side in sides) / sum(side.size for side in sides)
    if all(side.size <= SMALL_VOCABULARY for side in sides) and once <= RARE_SHARE:
        sizes = " and ".join(f"{side.size - 4:,}" for side in sides)
        return "words", f"There are only {sizes} different words, and most occur many times."
    if "bpe" not in usable:
        return "words", "Byte pairs cannot be used here. " + cuts["bpe"].error
    share = f"{once:.0%}".replace("%", " %")
    return "bpe", (
        f"Of {sum(side.size - 4 for side in sides):,} different words, {share} occur only once; "
        "byte pairs cut them into pieces that occur often."
    )

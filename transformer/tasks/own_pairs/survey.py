"""Survey of a file of pairs, made by streaming over it: counts, lengths, vocabularies, advice.

It has all that a form shows and a run's config needs, so that callers need not keep the pairs in
memory. ``python -m transformer pairs FILE --json`` prints one.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any, Self

from transformer.errors import TaskError, UserError, VocabularyError
from transformer.files import write_atomic
from transformer.tasks.base import Pair
from transformer.tasks.own_pairs.advice import BPE_SIZES, MANY_PAIRS, Cut, Side, Suggestion, suggest
from transformer.tasks.own_pairs.file import open_pairs
from transformer.tasks.own_pairs.file_interpretation import FileInterpretation
from transformer.tasks.own_pairs.layout import Choices, Layout
from transformer.tasks.own_pairs.task import normalised
from transformer.vocabulary import Vocabulary
from transformer.vocabulary.vocabulary import KINDS, SPACE_MARK

MAX_WORDS = 2_000_000
"""Most different words that are counted: with more, words are no useful tokens."""
BINS = 16
SHOWN_TOKENS = 12
SHOWN_PAIRS = 5
REPORT_EVERY = 5_000
MOST_AT_ONCE = 1_000_000
"""Most characters that are counted in one batch."""
MAX_MEMORY = 3 << 30
"""Memory limit in bytes of a process that makes a survey, where the system can enforce it."""

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Survey:
    """The results of a survey of a file of pairs.

    pairs, empty_lines, refused: numbers of lines.
    named: the first refused lines, each with its reason.
    sources: number of different sources; duplicates: of pairs that occurred before; ambiguous: of
    sources with more than one target.
    encoding, delimiter, columns: how the file was read; guessed: whether the encoding is a guess.
    form, header, source, target: as in :class:`Layout`.
    names_first_line, quoted, tight: likewise.
    rows: the first records, all their columns.
    marked: number of pairs with ▁, which stands for a space in pieces.
    preview: the first pairs.
    cuts: tokeniser -> both sides cut by it.
    bpe_size: the limit on byte-pair tokens.
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
    guessed: bool = False
    form: str = "lines"
    header: list[str] = field(default_factory=list)
    source: int = 0
    target: int = 1
    names_first_line: bool = False
    quoted: bool = False
    tight: bool = False
    rows: list[list[str]] = field(default_factory=list)
    marked: int = 0

    @property
    def interpretation(self) -> FileInterpretation:
        """How the file was read."""
        layout = {item.name: getattr(self, item.name) for item in fields(Layout)}
        layout["header"] = tuple(self.header)
        return FileInterpretation(self.encoding, self.guessed, Layout(**layout), self.rows)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Restore a survey from ``dataclasses.asdict``."""
        cuts = {
            kind: Cut(
                Side(**cut["source"]) if cut["source"] else None,
                Side(**cut["target"]) if cut["target"] else None,
                cut["one_vocabulary"],
                cut["error"],
            )
            for kind, cut in plain["cuts"].items()
        }
        return cls(**{**plain, "cuts": cuts, "suggestion": Suggestion(**plain["suggestion"])})


def survey(
    source: Path,
    data: Path,
    *,
    targets: Path | None = None,
    choices: Choices | None = None,
    bpe_size: int | None = None,
    progress: Progress = lambda _: None,
) -> Survey:
    """Read a file of pairs, write them to ``data`` as TSV, and survey them.

    Args:
        source: the file of pairs; or that of the sources, with ``targets``, line by line.
        choices: the user's statements about it.
        data: the file to write the pairs to, in the form in which a run stores them.
        bpe_size: most byte-pair tokens; chosen by the number of pairs if None.
        progress: called with the share of the work that is done.

    Raises:
        TaskError: the file holds no pairs, or cannot be read.
    """
    try:
        counts = _Counts()
        with (
            open_pairs(source, targets, choices) as reader,
            data.open("w", encoding="utf-8", newline="\n") as out,
        ):
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
        preview=counts.preview,
        cuts={kind: cuts[kind] for kind in KINDS},
        bpe_size=size,
        suggestion=suggest(reader.count, len(counts.targets_of), cuts, size),
        guessed=reader.guessed,
        rows=reader.preview,
        marked=counts.marked,
        **vars(reader.layout) | {"header": list(reader.layout.header)},
    )


def survey_into(
    folder: Path,
    source: Path,
    bpe_size: int | None = None,
    progress: Progress = lambda _: None,
    *,
    targets: Path | None = None,
    choices: Choices | None = None,
) -> None:
    """Write ``data.tsv`` and ``survey.json`` into a folder; for a refused file, only the reason.

    With a ``bpe_size``, write only ``survey-SIZE.json``.
    """
    data = folder / "data.tsv"
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".tsv", delete=False) as file:
        partial = Path(file.name)
    try:
        found = asdict(
            survey(
                source,
                partial,
                targets=targets,
                choices=choices,
                bpe_size=bpe_size,
                progress=progress,
            )
        )
        if bpe_size is None:
            partial.chmod(0o644)
            partial.replace(data)
    except UserError as error:
        found = {"error": str(error)}
    finally:
        partial.unlink(missing_ok=True)
    write_atomic(folder / survey_name(bpe_size), json.dumps(found).encode())


def survey_name(bpe_size: int | None = None) -> str:
    """The name of the file to which :func:`survey_into` writes the survey."""
    return "survey.json" if bpe_size is None else f"survey-{bpe_size}.json"


def limit_memory() -> None:
    """Limit this process's memory, so that it cannot use up the machine's."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(
        resource.RLIMIT_DATA, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1])
    )


def words(found: Survey) -> str:
    """A survey as text for the terminal."""
    lines = [
        f"{found.pairs:,} pairs of {found.sources:,} different sources; left out: {found.refused:,}"
        f" lines, empty: {found.empty_lines:,}, twice: {found.duplicates:,}",
        *notes(found),
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


def notes(found: Survey) -> list[str]:
    """How a file was read, and what is unusual in it, in sentences."""
    said = found.interpretation.sentences()
    if found.duplicates:
        said.append(f"Pairs that repeat an earlier one, and count again: {found.duplicates:,}.")
    if found.ambiguous:
        said.append(
            f"Sources with several targets: {found.ambiguous:,}; no model can be right about all."
        )
    if found.marked:
        said.append(
            f"Pairs with ▁, which stands for a space in pieces of words: {found.marked:,}. If "
            "texts are already cut into pieces, join them again: they are cut here."
        )
    return said


class _Counts:
    """Counts of one pass over the pairs: :meth:`add` each, then :meth:`end`."""

    def __init__(self) -> None:
        self.batch: list[Pair] = []
        self.batch_characters = 0
        self.words = Counter[str](), Counter[str]()
        self.characters = Counter[str](), Counter[str]()
        self.word_lengths = Counter[int](), Counter[int]()
        self.character_lengths = Counter[int](), Counter[int]()
        self.too_many_words = False
        self.preview: list[tuple[str, str]] = []
        # Hashes instead of texts: a large file's sources would not fit into memory.
        self.targets_of: dict[int, int] = {}
        self.ambiguous: set[int] = set()
        self.seen: set[int] = set()
        self.duplicates = self.marked = 0

    def add(self, pair: Pair) -> None:
        self.batch.append(pair)
        self.batch_characters += len(pair.source) + len(pair.target)
        if len(self.batch) == REPORT_EVERY or self.batch_characters > MOST_AT_ONCE:
            self.end()

    def end(self) -> None:
        """Count the pairs added since the last call: batches are faster than single pairs."""
        pairs, self.batch, self.batch_characters = self.batch, [], 0
        if not pairs:
            return
        self.preview += [(pair.source, pair.target) for pair in pairs[:SHOWN_PAIRS]]
        del self.preview[SHOWN_PAIRS:]
        for side, texts in enumerate(zip(*pairs, strict=True)):
            self.words[side].update(" ".join(texts).split(" "))
            self.word_lengths[side].update([text.count(" ") + 1 for text in texts])
            self.character_lengths[side].update(map(len, texts))
            if len(self.words[side]) > MAX_WORDS:
                self._fold(side)
                self.too_many_words = True
                self.words[side].clear()
        seen, targets_of = self.seen, self.targets_of
        before = len(seen)
        for pair in pairs:
            text, other = pair
            self.marked += SPACE_MARK in text or SPACE_MARK in other
            # For the split, texts that look equal are the same source.
            source, target = hash(normalised(text)), hash(other)
            if targets_of.setdefault(source, target) != target:
                self.ambiguous.add(source)
            seen.add(hash(pair))
        self.duplicates += len(pairs) - (len(seen) - before)

    def _fold(self, side: int) -> None:
        """Count the characters of the words so far, from each different word once."""
        characters = self.characters[side]
        for count, words in _by_count(self.words[side]):
            for mark, times in Counter("".join(words)).items():
                characters[mark] += count * times

    def cuts(self) -> dict[str, Cut]:
        self.end()
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


def _by_count(counted: Mapping[str, int]) -> Iterator[tuple[int, list[str]]]:
    """Batches of words that occur equally often: most words of a large file occur once."""
    together: dict[int, list[str]] = {}
    for word, count in counted.items():
        words = together.setdefault(count, [])
        words.append(word)
        if len(words) == REPORT_EVERY:
            yield count, together.pop(count)
    yield from together.items()


def _cut(kind: str, counts: tuple[Counter[str], ...], lengths: tuple[Counter[int], ...]) -> Cut:
    try:
        vocabularies = [Vocabulary.of_counts(kind, side) for side in counts]
    except VocabularyError as error:
        return Cut(error=str(error))
    source, target = map(_side, vocabularies, counts, lengths)
    return Cut(source, target, vocabularies[0] == vocabularies[1])


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
            # A byte-pair token never spans two words, so each different word is cut once.
            pieces = dict[str, int]()
            numbers = Counter[int]()
            for count, batch in _by_count(words):
                cut = vocabulary.encode_all(batch)
                pieces.update(zip(batch, map(len, cut), strict=True))
                for number, times in Counter(chain.from_iterable(cut)).items():
                    numbers[number] += count * times
            tokens = Counter({vocabulary.tokens[n]: count for n, count in numbers.items()})
            progress(begun + 0.2)
            lengths = Counter(
                sum(map(pieces.__getitem__, text.split(" "))) for text in _texts(data, side)
            )
            vocabularies.append(vocabulary)
            sides.append(_side(vocabulary, tokens, lengths))
    except VocabularyError as error:
        return Cut(error=str(error))
    return Cut(sides[0], sides[1], vocabularies[0] == vocabularies[1])


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

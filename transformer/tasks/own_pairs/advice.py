"""Which tokeniser and which preset suit a file of pairs, and the numbers that this follows from."""

from collections.abc import Mapping
from dataclasses import dataclass

from transformer.errors import TaskError
from transformer.tasks.base import Facts

FEW_PAIRS = 100
"""Fewer pairs can be learned by heart, but not generalised from."""
SOME_PAIRS = 2_000
MANY_PAIRS = 20_000
SMALL_VOCABULARY = 3_000
RARE_SHARE = 0.3
"""If a larger share of the different words occurs only once, words are a poor choice."""
PRESET_LENGTH = 128
"""``max_length`` of the small presets."""
LENGTH_STEP = 32
BPE_SIZES = (1_000, 4_000)
"""Most byte-pair tokens, as suggested for up to and for more than ``MANY_PAIRS`` pairs."""


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
    """Both sides under one tokeniser; None, with an ``error``, if it cannot be used.

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


def suggest(pairs: int, sources: int, cuts: Mapping[str, Cut], bpe_size: int) -> Suggestion:
    tokens, why = _suggest_tokens(pairs, cuts)
    if pairs < FEW_PAIRS or sources < 2:
        preset = "overfit"
        preset_why = (
            "The model can learn so few pairs by heart, but cannot generalise from them, so it "
            "is trained and tested on all of them."
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
        return "characters", "Most texts are single words, so the model has to read their letters."
    if pairs < FEW_PAIRS:
        return "words", "So few texts are learned by heart, and as words they are short."
    once = sum(side.once for side in sides) / sum(side.size for side in sides)
    if all(side.size <= SMALL_VOCABULARY for side in sides) and once <= RARE_SHARE:
        sizes = " and ".join(f"{side.size - 4:,}" for side in sides)
        return "words", f"There are only {sizes} different words, and most occur many times."
    if "bpe" not in usable:
        return "words", "Byte pairs cannot be used here. " + cuts["bpe"].error
    different = f"{sum(side.size - 4 for side in sides):,} different words"
    if once <= RARE_SHARE:
        return "bpe", f"There are {different}; byte pairs need a tenth of that or less."
    share = f"{once:.0%}".replace("%", " %")
    return "bpe", (
        f"Of {different}, {share} occur only once; byte pairs cut them into frequent pieces."
    )

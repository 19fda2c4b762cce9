"""Reorders the rows of a foreign embedding to our ids: <pad>, <bos>, <eos>, <unk> come first."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformer.errors import VocabularyError
from transformer.interop.foreign_vocabulary import SPECIAL, ForeignVocabulary, Special
from transformer.vocabulary import Vocabulary
from transformer.vocabulary.vocabulary import SPECIAL_TOKENS, printable

if TYPE_CHECKING:
    from torch import Tensor

ADDED = -1
NEVER_WRITTEN_BIAS = -10_000.0
"""Logit bias of tokens that must never be written: their probability is 0 in 32 and 64 bits, and
the number fits into 16."""


@dataclass(frozen=True)
class Arrangement:
    """The order of rows of one side.

    rows: our id -> the foreign id, or ADDED for a row of zeros.
    never_written: our ids that the model must never write: added rows, and second copies of a row
        that two special tokens share.
    """

    vocabulary: Vocabulary
    rows: tuple[int, ...]
    never_written: tuple[int, ...]

    @property
    def ids(self) -> dict[int, int]:
        """Foreign id -> our id."""
        return {
            row: number
            for number, row in reversed(list(enumerate(self.rows)))
            if row != ADDED and number not in self.never_written
        }

    def pick(self, tensor: "Tensor") -> "Tensor":
        """The rows of a foreign tensor in our order; added ones hold zeros."""
        import torch

        numbers = torch.tensor(self.rows)
        picked = tensor[numbers.clamp(min=0)]
        picked[numbers == ADDED] = 0
        return picked


def arrange(
    foreign: ForeignVocabulary, size: int, side: str, required: tuple[str, ...]
) -> Arrangement:
    """Put the special tokens first, add those that are missing, and make a vocabulary of it.

    Args:
        size: rows of the embedding, which the vocabulary must fit.
        side: "source" or "target", for messages.
        required: special tokens that must exist.

    Raises:
        VocabularyError: the vocabulary does not fit, or lacks a token that is needed.
    """
    special = foreign.special
    if len(foreign.tokens) != size:
        raise VocabularyError(
            f"The {side} vocabulary has {len(foreign.tokens):,} tokens, but the {side} embedding "
            f"has {size:,} rows; expected one token for each row."
        )
    for name in required:
        if getattr(special, name) is None:
            raise VocabularyError(
                f"The {side} vocabulary has no {name} token, {_purpose(name)}; say which token or "
                "id it is."
            )
    if special.pad is not None and special.pad == special.eos:
        raise VocabularyError(
            f"On the {side} side pad and eos are the same token, {_named(foreign, special.pad)}: "
            "no sequence could end. Say which ids they are."
        )
    first = [getattr(special, name) for name in SPECIAL]
    others = [number for number in range(size) if number not in first]
    tokens = [foreign.tokens[number] for number in others]
    for token in tokens:
        if token in SPECIAL_TOKENS:
            raise VocabularyError(
                f"The {side} vocabulary has a token {token} that is not its "
                f"{token.strip('<>')} token; choose it as that, or rename it."
            )
    if not others:
        raise VocabularyError(f"The {side} vocabulary has no token besides its special ones.")
    rows = [ADDED if number is None else number for number in first] + others
    never_written, spoken = [], set[int]()
    for number in (2, 0, 1, 3):  # if two share a row, the first in this order may be written
        if rows[number] == ADDED or rows[number] in spoken:
            never_written.append(number)
        spoken.add(rows[number])
    vocabulary = Vocabulary(foreign.kind, tokens, foreign.merges)
    return Arrangement(vocabulary, tuple(rows), tuple(sorted(never_written)))


def describe_rows(arrangement: Arrangement, special: Special, side: str) -> list[str]:
    """Sentences on the rows that were added or shared on one side."""
    sentences = []
    missing = [name for name in SPECIAL if getattr(special, name) is None]
    if missing:
        sentences.append(
            f"The {side} vocabulary has no {' or '.join(missing)} token: a row was added that is "
            "never written."
        )
    used: dict[int, str] = {}
    for name in ("eos", "pad", "bos", "unk"):
        number = getattr(special, name)
        if number is not None and number in used:
            sentences.append(
                f"On the {side} side {name} and {used[number]} are one token, id {number}: {name} "
                "got a copy of it that is never written."
            )
        elif number is not None:
            used[number] = name
    return sentences


def _purpose(name: str) -> str:
    return {
        "eos": "which ends a sequence",
        "bos": "which starts a sequence",
        "pad": "which fills up short sequences",
        "unk": "which stands for unknown tokens",
    }[name]


def _named(foreign: ForeignVocabulary, number: int) -> str:
    return f"{printable(foreign.tokens[number])} with id {number}"

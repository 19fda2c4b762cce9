"""Reads vocabularies in the formats of other programs, and finds special tokens by name."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformer.errors import VocabularyError
from transformer.vocabulary.vocabulary import MAX_TOKENS, printable

SPECIAL = ("pad", "bos", "eos", "unk")
MAX_BYTES = 32_000_000
NAMES = {
    "pad": ["pad", "padding", "blank", "pad_token"],
    "bos": ["bos", "s", "sos", "start", "go", "cls", "bos_token", "begin"],
    "eos": ["eos", "/s", "end", "sep", "eos_token", "stop"],
    "unk": ["unk", "unknown", "oov", "unk_token"],
}
"""Names of special tokens inside <>, [] or __, the most reliable first."""


@dataclass(frozen=True)
class Special:
    """Ids of the special tokens in a foreign vocabulary; None for a token that it lacks."""

    pad: int | None = None
    bos: int | None = None
    eos: int | None = None
    unk: int | None = None

    def __str__(self) -> str:
        return ", ".join(f"{name} {_shown(getattr(self, name))}" for name in SPECIAL)


@dataclass(frozen=True)
class ForeignVocabulary:
    """Tokens in the order of their ids, special ones included.

    kind, merges: as in :class:`Vocabulary`.
    """

    tokens: tuple[str, ...]
    special: Special
    kind: str = "words"
    merges: tuple[tuple[str, str], ...] = ()


Sides = tuple[ForeignVocabulary, ForeignVocabulary]
Given = tuple[ForeignVocabulary | None, ForeignVocabulary | None]
"""Vocabularies of source and target; None for one that the user did not supply."""


def numbered(size: int, special: Special) -> ForeignVocabulary:
    """A substitute for a missing vocabulary: the ids themselves are the tokens.

    Raises:
        VocabularyError: a special id is outside 0 to size - 1.
    """
    return ForeignVocabulary(tuple(map(str, range(size))), checked(special, size))


def checked(special: Special, size: int) -> Special:
    """The same special ids, checked.

    Raises:
        VocabularyError: an id is outside 0 to size - 1.
    """
    for name in SPECIAL:
        number = getattr(special, name)
        if number is not None and not 0 <= number < size:
            raise VocabularyError(
                f"The id of {name} is {number}; expected one from 0 to {size - 1:,}."
            )
    return special


def completed(
    vocabulary: ForeignVocabulary | None,
    size: int,
    guess: Special,
    given: Mapping[str, int | None],
) -> ForeignVocabulary:
    """A side's vocabulary, or its ids if it has none, with the special ids from the user.

    Args:
        guess: special ids if there is no vocabulary and the user gives none.
        given: special ids from the user, by name.

    Raises:
        VocabularyError: a special id is outside the vocabulary.
    """
    if vocabulary is None:
        return numbered(size, replace(guess, **given))
    special = checked(replace(vocabulary.special, **given), len(vocabulary.tokens))
    return replace(vocabulary, special=special)


def find_special(tokens: Sequence[str]) -> Special:
    """Find special tokens by their names: <pad>, [PAD], <s>, </s>, <unk> and the like."""
    ids = {token.lower(): number for number, token in reversed(list(enumerate(tokens)))}
    found = {}
    for name, words in NAMES.items():
        marked = (
            mark.format(word)
            for word in words
            for mark in ("<{}>", "[{}]", "_{}_", "__{}__", "<|{}|>")
        )
        found[name] = next((ids[token] for token in marked if token in ids), None)
    return Special(**found)


def read_vocabularies(content: bytes, name: str) -> Sides:
    """Read source and target vocabulary from one file; the same one twice if it holds only one.

    Accepted: a JSON list, or an object of token to id or of id to token, at the top or under
    "itos", "stoi", "tokens", "word2idx" or "idx2word"; a ``tokenizer.json`` of Hugging Face's
    tokenizers; an object with "source" and "target", each one of these; or text with one token per
    line, with its id before or after it, its score (SentencePiece's .vocab) or its count (fairseq's
    dict.txt).

    Raises:
        VocabularyError: the file is none of these, or its ids are not 0, 1, 2 and so on.
    """
    if len(content) > MAX_BYTES:
        raise VocabularyError(
            f"The vocabulary {printable(name)} has {len(content):,} bytes; at most {MAX_BYTES:,} "
            "are allowed."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise VocabularyError(
            f"The vocabulary {printable(name)} is not text in UTF-8; save it so, as JSON or with "
            "one token a line."
        ) from None
    if text.lstrip()[:1] in ("{", "["):
        try:
            plain = json.loads(text, object_pairs_hook=_no_repeats)
        except VocabularyError:
            raise
        except (ValueError, RecursionError):
            # [PAD] may also be the first line of a list of tokens.
            if text.lstrip()[:1] == "[" and "\n" in text.strip():
                return _both(_lines(text))
            raise VocabularyError(
                f"The vocabulary {printable(name)} begins as JSON and is not valid JSON."
            ) from None
        both = isinstance(plain, Mapping) and plain.keys() == {"source", "target"}
        if both and not any(isinstance(side, int) for side in plain.values()):
            return _foreign(plain["source"]), _foreign(plain["target"])
        return _both(_foreign(plain))
    return _both(_lines(text))


def _both(vocabulary: ForeignVocabulary) -> Sides:
    return vocabulary, vocabulary


def _lines(text: str) -> ForeignVocabulary:
    lines = text.split("\n")
    lines = [line.removesuffix("\r") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise VocabularyError(
            f"Line {lines.index('') + 1} of the vocabulary is empty; expected one token a line."
        )
    if (scored := _scored(lines)) or (counted := _counted(lines)):
        return _made(scored or counted)
    ahead = [line.split("\t", 1) for line in lines]
    if all(part[0] == str(number) and part[1:] for number, part in enumerate(ahead)):
        return _made([part[1] for part in ahead])
    parts = [line.rsplit("\t", 1) for line in lines]
    if parts and all(len(part) == 2 and part[1].strip().isdecimal() for part in parts):
        if [int(part[1]) for part in parts] == list(range(len(parts))):  # else they are counts
            lines = [part[0] for part in parts]
        elif len({part[0] for part in parts}) == len(parts):
            numbers = {part[0]: int(part[1][:12]) for part in parts}
            in_order = sorted(numbers.values()) == list(range(len(parts)))
            return _ordered(numbers) if in_order else _made([part[0] for part in parts])
    return _made(lines)


SCORED = re.compile(r"(.+)\t(-?\d+(?:\.\d+)?(?:e-?\d+)?)")
COUNTED = re.compile(r"(\S+) (\d+)(?: #fairseq:overwrite)?")
FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")
"""Special tokens that fairseq's dict.txt omits, in the order of their ids."""


def _scored(lines: Sequence[str]) -> list[str]:
    """Pieces of SentencePiece's .vocab (piece, tab, score of at most 0); [] for other files."""
    found = [SCORED.fullmatch(line) for line in lines]
    scores = [float(match[2]) for match in found if match]
    if len(scores) < len(lines) or not any(scores) or max(scores) > 0:
        return []
    return [match[1] for match in found if match]


def _counted(lines: Sequence[str]) -> list[str]:
    """Tokens of fairseq's dict.txt (token, space, count), after its four special ones; else []."""
    found = [COUNTED.fullmatch(line) for line in lines]
    tokens = [match[1] for match in found if match]
    if len(tokens) < max(2, len(lines)):
        return []
    return tokens if FAIRSEQ[2] in tokens else [*FAIRSEQ, *tokens]


def _foreign(plain: Any) -> ForeignVocabulary:
    merges: Any = ()
    kind = ""
    if isinstance(plain, Mapping):
        if isinstance(plain.get("model"), Mapping) and "vocab" in plain["model"]:
            return _tokenizer(plain)
        for key in ("itos", "stoi", "tokens", "word2idx", "idx2word"):
            inside = plain.get(key)
            if isinstance(inside, list | Mapping):
                kind, merges = plain.get("kind", ""), plain.get("merges", ())
                plain = inside
                break
    if isinstance(plain, Mapping):
        made = _ordered(plain)
    elif isinstance(plain, list):
        made = _made(plain)
    else:
        raise VocabularyError(
            "A vocabulary must be a list of tokens, or an object that gives each token its id."
        )
    if kind == "bpe" and isinstance(merges, list):
        pairs = tuple(
            (pair[0], pair[1]) for pair in merges if isinstance(pair, list) and len(pair) == 2
        )
        return ForeignVocabulary(made.tokens, made.special, "bpe", pairs)
    if kind in ("words", "characters"):
        return ForeignVocabulary(made.tokens, made.special, kind)
    return made


def _tokenizer(plain: Mapping[str, Any]) -> ForeignVocabulary:
    """Read a tokenizer.json of Hugging Face's tokenizers, with its added tokens."""
    model, added = plain["model"], plain.get("added_tokens") or []
    vocab = model["vocab"]
    if isinstance(vocab, list):  # a Unigram model's pieces, each with its score
        vocab = {piece[0]: n for n, piece in enumerate(vocab) if isinstance(piece, list) and piece}
    if not isinstance(vocab, Mapping) or not isinstance(added, list):
        raise VocabularyError("The tokenizer.json has no vocabulary of token to id.")
    ids = dict(vocab)
    for token in added:
        if isinstance(token, Mapping) and isinstance(token.get("content"), str):
            ids[token["content"]] = token.get("id")
    return _ordered(ids)


def _ordered(ids: Mapping[str, Any]) -> ForeignVocabulary:
    """A vocabulary from an object of token to id, or of id to token."""
    turned = [str(number) for number in range(len(ids))]
    if set(turned) == ids.keys() and all(isinstance(token, str) for token in ids.values()):
        return _made([ids[number] for number in turned])
    by_id: dict[int, str] = {}
    for token, number in ids.items():
        if type(number) is not int:
            raise VocabularyError(
                f"The token {printable(token)} has no whole number as its id in the vocabulary."
            )
        if number in by_id:
            raise VocabularyError(
                f"{printable(by_id[number])} and {printable(token)} have the same id "
                f"{str(number)[:20]} in the vocabulary; each token needs its own."
            )
        by_id[number] = token
    missing = next((number for number in range(len(by_id)) if number not in by_id), None)
    if missing is not None:
        raise VocabularyError(
            f"No token has the id {missing:,} in the vocabulary; expected every id from 0 to "
            f"{len(by_id) - 1:,} once."
        )
    return _made([by_id[number] for number in range(len(by_id))])


def _made(tokens: Sequence[Any]) -> ForeignVocabulary:
    if not tokens:
        raise VocabularyError("The vocabulary is empty; expected one token for each id.")
    if len(tokens) > MAX_TOKENS:
        raise VocabularyError(
            f"A vocabulary may have {MAX_TOKENS:,} tokens, found {len(tokens):,}."
        )
    first: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if not isinstance(token, str) or not token:
            raise VocabularyError(f"The token with id {number:,} in the vocabulary is not a text.")
        if first.setdefault(token, number) != number:
            raise VocabularyError(
                f"The token {printable(token)} stands twice in the vocabulary, with the ids "
                f"{first[token]:,} and {number:,}."
            )
    special = find_special(tokens)
    ids = {getattr(special, name) for name in SPECIAL}
    plain = [token for number, token in enumerate(tokens) if number not in ids]
    kind = "characters" if plain and all(len(token) == 1 for token in plain) else "words"
    return ForeignVocabulary(tuple(tokens), special, kind)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise VocabularyError(f"The token {printable(twice)} stands twice in the vocabulary.")
    return found


def _shown(number: int | None) -> str:
    return "none" if number is None else f"{number:,}"

"""Tokens <-> ids: characters, words or byte-pair pieces (section 5.1 uses byte pairs).

The first four ids of every vocabulary made here are ``<pad> <bos> <eos> <unk>``; an imported
vocabulary has special ids of its own. Text with an unknown token is refused, and the error names
the token. Only SentencePiece models, which were trained with an unknown token, read such parts as
that token; :meth:`Vocabulary.unknown` lists them.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from transformer.errors import VocabularyError
from transformer.vocabulary.lookalikes import plain_sign
from transformer.vocabulary.pieces import PieceModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
KINDS = ("characters", "words", "bpe")
"""The kinds of vocabulary that can be built from texts."""
SENTENCEPIECE = "sentencepiece"
"""A further kind, which is only imported."""
LANGUAGE_MARK = re.compile(">>.*?<<")
"""The language to write, one token at the start of a source text of a multilingual model."""
SPACE_MARK = "▁"
"""Replaces a space inside byte-pair pieces, so that joining them gives the text back."""
MAX_TOKENS = 1 << 20
MAX_TOKEN_LENGTH = 1000
BPE_BATCH = 1000
"""Texts passed to `tokenizers` at a time."""


class SpecialIds(NamedTuple):
    """The special ids of a vocabulary; bos, from which the decoder starts, may equal another."""

    pad: int = 0
    bos: int = 1
    eos: int = 2
    unk: int = 3


STANDARD = SpecialIds()
"""The ids of every vocabulary made here, which starts with ``SPECIAL_TOKENS``."""
PAD_ID, BOS_ID, EOS_ID, UNK_ID = STANDARD


class Vocabulary:
    """An ordered list of tokens, and how text is cut into them.

    Args:
        kind: "characters", "words" (cut at white space), "bpe" or "sentencepiece".
        tokens: all tokens in the order of their ids, without the four special ones unless
            ``special`` is given.
        merges: for "bpe", the pairs to join, most frequent first.
        special: the ids of the special tokens, if these are not the first four.
        pieces: for "sentencepiece", how to cut text; a piece that is no token is unknown.

    Raises:
        VocabularyError: a token is empty, not text, repeated, or too long, or a special id is
            outside the vocabulary.
    """

    def __init__(
        self,
        kind: str,
        tokens: Sequence[str],
        merges: Sequence[Sequence[str]] = (),
        *,
        special: SpecialIds | None = None,
        pieces: PieceModel | None = None,
    ) -> None:
        if kind not in (*KINDS, SENTENCEPIECE):
            raise VocabularyError(f"The vocabulary's kind must be one of {', '.join(KINDS)}.")
        if (pieces is not None) != (kind == SENTENCEPIECE):
            raise VocabularyError("A SentencePiece model goes with the kind 'sentencepiece' alone.")
        if special == STANDARD and tuple(tokens[: len(SPECIAL_TOKENS)]) == SPECIAL_TOKENS:
            special, tokens = None, tokens[len(SPECIAL_TOKENS) :]
        _check_tokens(kind, tokens, special)
        self.kind = kind
        self.special = special or STANDARD
        self.has_own_special = special is not None
        self.tokens = tuple(tokens) if special else (*SPECIAL_TOKENS, *tokens)
        self.merges = tuple((left, right) for left, right in merges)
        self.pieces = pieces
        # No text may name a special token: "<eos>" typed by a person is an unknown word.
        own = set(self.special)
        self._text_ids = {
            token: number for number, token in enumerate(self.tokens) if number not in own
        }

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.kind, self.tokens))

    @classmethod
    def build(cls, kind: str, texts: Iterable[str], size: int = 1000) -> Self:
        """Collect the tokens of some texts: the most frequent first, ties in order of their code.

        ``size`` bounds a byte-pair vocabulary; the other kinds take every token.
        """
        if kind == "bpe":
            return cls._train_bpe(texts, size)
        counts = Counter[str]()
        for text in texts:
            counts.update(text if kind == "characters" else text.split())
        return cls.of_counts(kind, counts)

    @classmethod
    def of_counts(cls, kind: str, counts: Mapping[str, int]) -> Self:
        """Characters or words from their counts, as :meth:`build` makes it from texts."""
        return cls(kind, sorted(counts, key=lambda token: (-counts[token], token)))

    @classmethod
    def _train_bpe(cls, texts: Iterable[str], size: int) -> Self:
        import json

        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        marks: set[str] = set()

        def batches() -> Iterator[list[str]]:
            # In batches, so that a large file need not be in memory.
            source = iter(texts)
            while batch := list(islice(source, BPE_BATCH)):
                marks.update(*batch)
                # `tokenizers` panics at a lone surrogate, so texts are checked first.
                _check_tokens("characters", sorted(marks))
                yield batch

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE_MARK)
        trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False)
        tokenizer.train_from_iterator(batches(), trainer)
        model = json.loads(tokenizer.to_str())["model"]
        return cls("bpe", sorted(model["vocab"], key=model["vocab"].__getitem__), model["merges"])

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        """The byte-pair tokenizer, made from tokens and merges alone.

        A pipeline is never read from a file: a pattern in it could be made to run for ever.
        """
        from tokenizers import Tokenizer, models, pre_tokenizers

        # Our ids without the special ones: `tokenizers` accepts gaps.
        ids = self._text_ids
        # `tokenizers` panics (no `Exception`) if a merge's part or result is missing.
        if not all(
            left in ids and right in ids and left + right in ids for left, right in self.merges
        ):
            raise VocabularyError("The byte-pair merges do not fit the tokens.")
        tokenizer = Tokenizer(models.BPE(ids, list(self.merges)))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE_MARK)
        return tokenizer

    def cut(self, text: str) -> list[str]:
        """The text as tokens, known or not."""
        if self.kind in ("bpe", SENTENCEPIECE):
            return [self.tokens[number] for number in self.encode(text)]
        return _cut(self.kind, text)

    def as_trained(self, text: str) -> str:
        """A typed text in the form of the training texts: runs of white space become one space,
        and letters take the Unicode form (NFC or NFD) that this vocabulary knows.

        The text stays as it is for SentencePiece models, which have their own normaliser, and for
        a vocabulary with white space other than " ", which was trained with it.
        """
        if self.kind == SENTENCEPIECE or self._has_other_space:
            return text
        text = " ".join(text.split())
        if text.isascii() or self._can_write(text):
            return text
        return " ".join(map(self._known_form, text.split(" ")))

    def _known_form(self, word: str) -> str:
        forms = (word, *(unicodedata.normalize(form, word) for form in ("NFC", "NFD")))
        return next((form for form in forms if self._can_write(form)), word)

    def _can_write(self, text: str) -> bool:
        known = self._marks if self.kind == "bpe" else self._text_ids
        return all(
            token in known for token in (text if self.kind == "bpe" else _cut(self.kind, text))
        )

    @cached_property
    def _has_other_space(self) -> bool:
        return any(token.isspace() and token != " " for token in self._text_ids)

    def encode(self, text: str) -> list[int]:
        """The text as ids, without <bos> and <eos>.

        Raises:
            VocabularyError: names every token (up to five) that the vocabulary lacks.
        """
        if self.kind == SENTENCEPIECE:
            return self._encode_pieces([text])[0]
        if self.kind == "bpe":
            if self._marks.issuperset(text):
                return list(self._tokenizer.encode(text).ids)
            unknown = [mark for mark in text if mark not in self._marks]
        else:
            tokens = _cut(self.kind, text)
            try:
                return [self._text_ids[token] for token in tokens]
            except KeyError:
                unknown = [token for token in tokens if token not in self._text_ids]
        raise VocabularyError(self._unknown_message(list(dict.fromkeys(unknown))))

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Every text as :meth:`encode` gives it, faster for byte pairs.

        Raises:
            VocabularyError: names the tokens of the first text that has unknown ones.
        """
        if self.kind == SENTENCEPIECE:
            return self._encode_pieces(texts)
        if self.kind != "bpe" or not all(map(self._marks.issuperset, texts)):
            return [self.encode(text) for text in texts]
        return [list(found.ids) for found in self._tokenizer.encode_batch_fast(list(texts))]

    def _encode_pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts as SentencePiece cuts them, with a language mark at the start as one token."""
        assert self.pieces is not None
        marks = [LANGUAGE_MARK.match(text) for text in texts]
        rest = [t if m is None else t[m.end() :] for t, m in zip(texts, marks, strict=True)]
        ids, unknown = self._text_ids, self.special.unk
        return [
            [
                *(() if mark is None else (ids.get(mark[0], unknown),)),
                *(ids.get(piece, unknown) for piece, _ in cut),
            ]
            for mark, cut in zip(marks, self.pieces.cut(rest), strict=True)
        ]

    def unknown(self, text: str) -> list[str]:
        """The parts of a text that are read as the unknown token, each once, in order. Empty for
        the kinds that refuse unknown tokens.

        Raises:
            VocabularyError: the text holds a lone surrogate.
        """
        if self.pieces is None:
            return []
        mark = LANGUAGE_MARK.match(text)
        names = [] if mark is None else [mark[0]]
        rest = text if mark is None else text[mark.end() :]
        names += [piece for piece, _ in self.pieces.cut([rest])[0]]
        return list(dict.fromkeys(name for name in names if name not in self._text_ids))

    @cached_property
    def _marks(self) -> frozenset[str]:
        """The characters that byte-pair pieces can write."""
        marks = {token for token in self._text_ids if len(token) == 1}
        return frozenset(marks - {SPACE_MARK} | ({" "} if SPACE_MARK in marks else set()))

    def _unknown_message(self, unknown: list[str]) -> str:
        named = ", ".join(printable(token) for token in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        noun = "words" if self.kind == "words" else "characters"
        hint = " ␣ is a space." if " " in unknown[:5] else ""
        if any(token.lower() in self._text_ids for token in unknown):
            hint += " Try lower case."
        pairs = [
            f"{plain} instead of {token}"
            for token in unknown[:5]
            if (plain := plain_sign(token)) != token and self._can_write(plain)
        ]
        if pairs:
            hint += f" Try {', '.join(pairs)}."
        return f"This model does not know {named}{more}.{hint} The {noun} it knows: {self._listed}"

    @cached_property
    def _listed(self) -> str:
        """The first tokens, for messages; cached, since a thousand texts may each need one."""
        known = sorted(self._text_ids)
        return " ".join(map(printable, known[:40])) + (" …" if len(known) > 40 else "")

    def decode(self, ids: Iterable[int]) -> str:
        """The ids up to <eos> as text.

        Other special tokens appear by name: a model that writes <bos> in the middle of a word has
        not written the word.

        Raises:
            VocabularyError: an id is not in the vocabulary.
        """
        tokens = self.tokens_of(ids)
        if self.kind in ("bpe", SENTENCEPIECE):
            return "".join(tokens).replace(SPACE_MARK, " ").strip()
        return ("" if self.kind == "characters" else " ").join(tokens)

    def tokens_of(self, ids: Iterable[int]) -> list[str]:
        """The tokens of the ids before the first <eos>.

        Raises:
            VocabularyError: an id is not in the vocabulary.
        """
        known, eos, tokens = self.tokens, self.special.eos, []
        for number in ids:
            if number == eos:
                break
            if not 0 <= number < len(known):
                raise VocabularyError(
                    f"The id {number} is outside this vocabulary of {len(known)}."
                )
            tokens.append(known[number])
        return tokens

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = {"kind": self.kind, "tokens": self.tokens[len(SPECIAL_TOKENS) :]}
        if self.has_own_special:
            plain |= {"tokens": self.tokens, "special": self.special._asdict()}
        if self.kind == "bpe":
            plain["merges"] = self.merges
        if self.pieces is not None:
            plain["pieces"] = self.pieces.to_dict(self.tokens)
        return plain

    @classmethod
    def from_dict(cls, plain: object) -> Self:
        """Read what :meth:`to_dict` wrote.

        Raises:
            VocabularyError: it is malformed.
        """
        names = {"kind", "tokens", "merges", "special", "pieces"}
        if not isinstance(plain, Mapping) or not set(plain) <= names:
            raise VocabularyError("A vocabulary must be an object of kind, tokens and merges.")
        kind, tokens, merges = (plain.get(key, ()) for key in ("kind", "tokens", "merges"))
        if not isinstance(tokens, list | tuple) or not isinstance(merges, list | tuple):
            raise VocabularyError("A vocabulary's tokens and merges must be lists.")
        if not all(
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and all(isinstance(x, str) for x in pair)
            for pair in merges
        ):
            raise VocabularyError("A vocabulary's merges must be pairs of tokens.")
        special = _special(plain["special"]) if "special" in plain else None
        pieces = None
        if "pieces" in plain:
            # Checked first: the tokens become keys.
            _check_tokens(str(kind), tokens, special)
            pieces = PieceModel.from_dict(plain["pieces"], tokens)
        vocabulary = cls(kind, tokens, merges, special=special, pieces=pieces)
        # Build the tokenizer now, so that a bad one is refused here.
        if kind == "bpe":
            vocabulary._tokenizer  # noqa: B018
        if pieces is not None:
            pieces.check()
        return vocabulary


def _special(plain: object) -> SpecialIds:
    if not isinstance(plain, Mapping) or set(plain) != set(SpecialIds._fields):
        raise VocabularyError("A vocabulary's special ids must be pad, bos, eos and unk.")
    if not all(type(number) is int for number in plain.values()):
        raise VocabularyError("A vocabulary's special ids must be whole numbers.")
    return SpecialIds(**plain)


def _check_tokens(kind: str, tokens: Sequence[object], special: SpecialIds | None = None) -> None:
    if len(tokens) > MAX_TOKENS:
        raise VocabularyError(
            f"A vocabulary may have {MAX_TOKENS:,} tokens, found {len(tokens):,}."
        )
    if special is not None:
        if not all(0 <= number < len(tokens) for number in special):
            raise VocabularyError(
                f"The special ids {tuple(special)} must be those of the {len(tokens):,} tokens."
            )
        if special.pad in (special.eos, special.unk) or special.eos in (special.bos, special.unk):
            raise VocabularyError("The ids of padding, of the end and of the unknown must differ.")
    seen = set()
    is_whole = _is_whole(tokens)
    for number, token in enumerate(tokens):
        if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN_LENGTH:
            raise VocabularyError(
                f"Every token must be a text of 1 to {MAX_TOKEN_LENGTH} characters; one is not."
            )
        if not is_whole and any("\ud800" <= mark <= "\udfff" for mark in token):
            raise VocabularyError("A token holds half of a character (a lone surrogate).")
        if token in SPECIAL_TOKENS and special is None:
            raise VocabularyError(f"The token {token} has a special meaning; write it otherwise.")
        if token in seen:
            raise VocabularyError(f"The token {printable(token)} stands twice in the vocabulary.")
        is_text = special is None or number not in special
        if kind == "characters" and len(token) != 1 and is_text:
            raise VocabularyError(f"{printable(token)} is not a single character.")
        seen.add(token)


def _is_whole(tokens: Sequence[object]) -> bool:
    """Whether no token holds a lone surrogate; fast, since there may be 60,000 tokens."""
    try:
        "".join(token for token in tokens if isinstance(token, str)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _cut(kind: str, text: str) -> list[str]:
    return list(text) if kind == "characters" else text.split()


def printable(token: str) -> str:
    """A token in visible form: ␣ for a space, codes for the invisible, at most 40 characters."""
    if len(token) <= 40 and " " not in token and token.isprintable():
        return token  # fast path for most of up to 60,000 tokens
    shown = "".join(
        "␣" if mark == " " else mark if mark.isprintable() else f"U+{ord(mark):04X}"
        for mark in token
    )
    return shown if len(shown) <= 40 else shown[:39] + "…"


JOINERS = "\u200c\u200d"
"""Invisible, but part of how Persian, Hindi and many emoji are written."""


def visible(text: str) -> str:
    """A text from a file, safe to show: invisible characters, and those that change the direction
    of text, become their codes; spaces and joiners stay."""
    if text.isprintable():
        return text
    return "".join(
        mark if mark.isprintable() or mark in JOINERS else f"U+{ord(mark):04X}" for mark in text
    )

"""Tokenises text as SentencePiece does: normalise it, then find the best pieces by score.

A file supplies pieces, scores and a table of characters, never a pipeline: the steps are code here,
and every index into the table is checked. The library ``tokenizers`` finds the pieces.
"""

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from transformer.errors import VocabularyError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MARK = "▁"
"""SentencePiece's character for a space."""
ALGORITHMS = ("unigram", "bpe")
MAX_MAP_BYTES = 2_000_000
MAX_SCORE = 1e9
MAX_PIECE = 512
"""Most characters of a piece; SentencePiece's own trainer stops at 16. `tokenizers` frees its trie
of pieces by recursion, a call per byte: 2,000 bytes fit the smallest stack of a thread (256 kB),
and 200,000 crash the process with any stack."""
MAX_NODES = 800_000
"""Most nodes of that trie, 350 bytes of memory each; 60,000 real pieces have 300,000."""
MAX_SEQUENCE = 64
"""Most bytes of a replaced sequence or of its replacement; Unicode's tables stay below 40."""
UNKNOWN = "\x00unknown"
"""Name of the unknown token inside `tokenizers`; no piece can be called so."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class PieceModel:
    """The pieces of one side, with the normalisation of text before it is cut.

    algorithm: "unigram" (the most probable pieces) or "bpe" (join the best pair repeatedly).
    pieces: each with its score, a log-probability or a rank.
    character_map: SentencePiece's table of characters to replace; empty for none.
    dummy_prefix: whether to put a space before the text.
    squeeze: whether to strip spaces at the ends, and to replace several by one.

    Raises:
        VocabularyError: a score or the table is malformed.
    """

    algorithm: str
    pieces: Mapping[str, float]
    character_map: bytes = b""
    dummy_prefix: bool = True
    squeeze: bool = True

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise VocabularyError(f"Pieces are found by {' or '.join(ALGORITHMS)}, nothing else.")
        if not self.pieces:
            raise VocabularyError("A SentencePiece model must have pieces; this one has none.")
        for piece, score in self.pieces.items():
            if not piece or "\x00" in piece:
                raise VocabularyError(
                    "A piece of the SentencePiece model is empty or holds U+0000."
                )
            if len(piece) > MAX_PIECE:
                raise VocabularyError(
                    f"A piece of the SentencePiece model has {len(piece):,} characters; at most "
                    f"{MAX_PIECE} are taken."
                )
            if isinstance(score, bool) or not isinstance(score, int | float):
                raise VocabularyError("A piece's score must be a number.")
            if not (math.isfinite(score) and abs(score) <= MAX_SCORE):
                raise VocabularyError("A piece's score is not a usable number.")
        if _nodes_exceed(self.pieces, MAX_NODES):
            raise VocabularyError(
                "The pieces of the SentencePiece model are too many and too long together; it is "
                "damaged or forged."
            )
        CharacterMap(self.character_map)

    @cached_property
    def _map(self) -> "CharacterMap":
        return CharacterMap(self.character_map)

    def normalise(self, text: str) -> str:
        """The text in the pieces' form: characters replaced, spaces as ``MARK``."""
        text = self._map.replace(text)
        if self.squeeze:
            text = re.sub(" {2,}", " ", text.strip(" "))
        if text and self.dummy_prefix:
            text = " " + text
        return text.replace(" ", MARK)

    def cut(self, texts: Sequence[str]) -> list[list[tuple[str, bool]]]:
        """Each text as pieces, and whether each is known; a run of unknown characters is one.

        Raises:
            VocabularyError: a text holds a lone surrogate.
        """
        for text in texts:
            if any("\ud800" <= mark <= "\udfff" for mark in text):
                raise VocabularyError("The text holds half of a character (a lone surrogate).")
        ready = [self.normalise(text) for text in texts]
        encoded = call_tokenizers(lambda: self._tokenizer.encode_batch(ready))
        return [
            [
                (text[start:end], token != UNKNOWN)
                for token, (start, end) in zip(one.tokens, one.offsets, strict=True)
            ]
            for text, one in zip(ready, encoded, strict=True)
        ]

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer, models

        # SentencePiece computes with 32-bit scores, so rounded decimals become 32-bit floats again.
        scores = {
            piece: struct.unpack("<f", struct.pack("<f", score))[0]
            for piece, score in self.pieces.items()
        }
        # In both libraries an unknown character costs 10 more than the worst piece.
        listed = [(UNKNOWN, min(scores.values())), *scores.items()]
        if self.algorithm == "unigram":
            return call_tokenizers(lambda: Tokenizer(models.Unigram(listed, 0, False)))
        ids = {piece: number for number, (piece, _) in enumerate(listed)}
        return call_tokenizers(
            lambda: Tokenizer(models.BPE(ids, _merges(scores), unk_token=UNKNOWN, fuse_unk=True))
        )

    def check(self) -> None:
        """Build the tokenizer now, so that a model that cannot be built is refused early.

        Raises:
            VocabularyError: it cannot be built.
        """
        self._tokenizer  # noqa: B018

    def to_dict(self, tokens: Sequence[str]) -> dict[str, Any]:
        """The model as plain values, with the scores in the order of the vocabulary's tokens."""
        known = set(tokens)
        return {
            "algorithm": self.algorithm,
            "scores": [self.pieces.get(token) for token in tokens],
            "others": {p: score for p, score in self.pieces.items() if p not in known},
            "character_map": base64.b64encode(self.character_map).decode(),
            "dummy_prefix": self.dummy_prefix,
            "squeeze": self.squeeze,
        }

    @classmethod
    def from_dict(cls, plain: object, tokens: Sequence[str]) -> Self:
        """Read what :meth:`to_dict` wrote.

        Raises:
            VocabularyError: it is malformed.
        """
        names = {"algorithm", "scores", "others", "character_map", "dummy_prefix", "squeeze"}
        if not isinstance(plain, Mapping) or set(plain) != names:
            raise VocabularyError(f"A SentencePiece model must have exactly {sorted(names)}.")
        scores, others, encoded = plain["scores"], plain["others"], plain["character_map"]
        if not isinstance(scores, list) or len(scores) != len(tokens):
            raise VocabularyError("A SentencePiece model must have a score, or null, a token.")
        if not isinstance(others, Mapping) or not isinstance(encoded, str):
            raise VocabularyError("A SentencePiece model's other pieces or characters are wrong.")
        if not isinstance(plain["dummy_prefix"], bool) or not isinstance(plain["squeeze"], bool):
            raise VocabularyError("A SentencePiece model's switches must be true or false.")
        try:
            character_map = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise VocabularyError("A SentencePiece model's characters are not base64.") from None
        pieces = {t: s for t, s in zip(tokens, scores, strict=True) if s is not None}
        if len(others) + len(pieces) != len({*others, *pieces}):
            raise VocabularyError("A piece of the SentencePiece model stands twice.")
        return cls(
            str(plain["algorithm"]),
            {**pieces, **others},
            character_map,
            plain["dummy_prefix"],
            plain["squeeze"],
        )


def _nodes_exceed(pieces: Iterable[str], most: int) -> bool:
    """Whether the trie of the pieces' bytes has more than ``most`` nodes, without building it."""
    if sum(map(len, pieces)) * 4 <= most:
        return False
    encoded = [piece.encode("utf-8", "surrogatepass") for piece in pieces]
    total = sum(map(len, encoded))
    if total <= most or total > 10 * most:
        return total > most
    encoded.sort()
    before, nodes = b"", 0
    for piece in encoded:
        same = next((n for n, (a, b) in enumerate(zip(before, piece, strict=False)) if a != b), -1)
        nodes += len(piece) - (min(len(before), len(piece)) if same < 0 else same)
        before = piece
    return nodes > most


def _merges(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """The pairs to join, best first: SentencePiece joins any two pieces that form a third."""
    found = [
        (-score, piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    return [(left, right) for _, left, right in sorted(found, key=lambda one: one[0])]


class CharacterMap:
    """SentencePiece's replacement table: a trie as a double array, then the replacements.

    Raises:
        VocabularyError: the sizes in the table do not fit its bytes.
    """

    def __init__(self, content: bytes) -> None:
        self.units: tuple[int, ...] = ()
        self.replacements = b""
        self._plain: bool | None = None
        if not content:
            return
        size = int.from_bytes(content[:4], "little")
        if len(content) > MAX_MAP_BYTES or size % 4 or not 0 < size <= len(content) - 4:
            raise VocabularyError("The SentencePiece model's table of characters is malformed.")
        self.units = struct.unpack(f"<{size // 4}I", content[4 : 4 + size])
        self.replacements = content[4 + size :]
        if max(map(len, self.replacements.split(b"\0"))) > MAX_SEQUENCE:
            raise VocabularyError(
                "The SentencePiece model's table writes too much for one character."
            )

    def replace(self, text: str) -> str:
        """Replace the longest sequences that the table knows, from left to right."""
        if not self.units or (text.isascii() and text.isprintable() and self._ascii_is_plain()):
            return text
        content, place, found = text.encode(), 0, []
        while place < len(content):
            length, replacement = self._longest(content, place)
            if replacement is None:
                # Keep one character as it is.
                length = _width(content[place])
                replacement = content[place : place + length]
            found.append(replacement)
            place += length
        return b"".join(found).decode("utf-8", "replace")

    def _longest(self, content: bytes, start: int) -> tuple[int, bytes | None]:
        """Bytes of the longest known sequence at ``start``, and its replacement; else (0, None)."""
        units = self.units
        best: tuple[int, bytes | None] = (0, None)
        node = _offset(units[0])
        for place in range(start, min(len(content), start + MAX_SEQUENCE)):
            node ^= content[place]
            if node >= len(units):
                break
            unit = units[node]
            if unit & 0x800000FF != content[place]:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:
                if node >= len(units):
                    break
                begin = units[node] & 0x7FFFFFFF
                end = self.replacements.find(b"\0", begin)
                if end < 0:
                    break
                # A sequence must end at the end of a character.
                after = place + 1
                if after == len(content) or content[after] & 0xC0 != 0x80:
                    best = (after - start, self.replacements[begin:end])
        return best

    def _ascii_is_plain(self) -> bool:
        """Whether the table replaces no sequence of printable ASCII."""
        if self._plain is None:
            marks = [bytes([mark]) for mark in range(32, 127)]
            self._plain = all(self._longest(mark, 0)[1] is None for mark in marks) and all(
                self._longest(one + other, 0)[1] is None for one in marks for other in marks
            )
        return self._plain


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)


def _width(first: int) -> int:
    """Number of bytes of a UTF-8 character, from its first byte."""
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def call_tokenizers(work: Callable[[], Result]) -> Result:
    """Call `tokenizers`, whose panics are no ``Exception``, and turn failures into our error.

    Raises:
        VocabularyError: the call failed or panicked.
    """
    try:
        return work()
    except Exception:
        raise VocabularyError(
            "The pieces of the SentencePiece model do not fit together."
        ) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise VocabularyError(
            "The pieces of the SentencePiece model do not fit together."
        ) from None

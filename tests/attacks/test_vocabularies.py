"""Vocabularies made to crash the process that reads them, or to keep it busy, are refused.

The library that cuts text frees its tree of pieces by recursion, so that one long piece crashed the
server with every session.
"""

import base64
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pages.components.stores import uploads
from tests.support.checkpoint_files import MEGABYTE, assert_sentence, little_memory, make
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import header_bytes
from transformer.errors import CheckpointError, VocabularyError
from transformer.interop.files import header_check
from transformer.interop.marian.piece_model import read_piece_model, write_piece_model
from transformer.vocabulary import pieces
from transformer.vocabulary.pieces import CharacterMap, PieceModel

pytestmark = pytest.mark.usefixtures("own_folder")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def with_pieces(others: dict[str, float], algorithm: str = "unigram") -> bytes:
    """A valid checkpoint whose source vocabulary has these extra pieces."""
    sound = make()
    tokens = ["<p>", "<b>", "<e>", "<u>", *sound.source_vocabulary.tokens[4:]]
    plain: dict[str, Any] = {
        "kind": "sentencepiece",
        "tokens": tokens,
        "special": {"pad": 0, "bos": 1, "eos": 2, "unk": 3},
        "pieces": {
            "algorithm": algorithm,
            "scores": [None] * 4 + [-1.0] * (len(tokens) - 4),
            "others": others,
            "character_map": "",
            "dummy_prefix": True,
            "squeeze": True,
        },
    }
    forged = Forged(plain)
    header = replace(sound.header, source_vocabulary=forged, sha256="")  # type: ignore[arg-type]
    return Checkpoint(header, sound.tensors).to_bytes()


class Forged:
    """Replaces a vocabulary when a header is written: ``to_dict`` returns the given dictionary."""

    def __init__(self, plain: dict[str, Any]) -> None:
        self.plain = plain

    def to_dict(self) -> dict[str, Any]:
        return self.plain


def random_pieces(count: int, length: int) -> dict[str, float]:
    draw = Random(7)
    return {"".join(draw.choices(LETTERS, k=length)): -2.0 for _ in range(count)}


FORGED: dict[str, Callable[[], bytes]] = {
    "one piece of 200,000": lambda: with_pieces({"a" * 200_000: -9.0}),
    "one piece of 200,000 for byte pairs": lambda: with_pieces({"a" * 200_000: -9.0}, "bpe"),
    "one piece of 50,000 of four bytes": lambda: with_pieces({"😀" * 50_000: -9.0}),
    "a piece one too long": lambda: with_pieces({"a" * (pieces.MAX_PIECE + 1): -9.0}),
    "5,000 pieces of 500": lambda: with_pieces(random_pieces(5_000, 500)),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_vocabulary_that_ends_its_reader_is_refused(name: str) -> None:
    content = FORGED[name]()
    started = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        uploads.keep("forged.safetensors", content, "someone")
    assert_sentence(caught.value)
    assert time.monotonic() - started < 60
    assert not uploads.kept()


@pytest.mark.parametrize("name", FORGED)
def test_the_header_check_refuses_it_before_any_library_reads_it(name: str) -> None:
    content = FORGED[name]()
    with little_memory(100 * MEGABYTE), pytest.raises(CheckpointError, match="piece"):
        Checkpoint.load(content)


def test_a_sentencepiece_file_with_a_long_piece_is_refused(tmp_path: Path) -> None:
    model = PieceModel("unigram", {"a": -1.0, "b": -2.0})
    object.__setattr__(model, "pieces", {"a": -1.0, "a" * 200_000: -2.0})
    with pytest.raises(CheckpointError, match="200,000 characters"):
        read_piece_model(write_piece_model(model), "source.spm")


def test_what_the_format_allows_is_still_taken() -> None:
    content = with_pieces({"a" * pieces.MAX_PIECE: -9.0} | random_pieces(20_000, 12))
    kept, checkpoint = uploads.keep("long.safetensors", content, "someone")
    assert checkpoint.source_vocabulary.encode("abc")
    assert kept.path.exists()


LAX = """
import transformer.vocabulary.pieces as pieces
pieces.MAX_PIECE = pieces.MAX_NODES = 10**9
"""


def test_what_passes_the_bounds_ends_another_process_than_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a library crashes below the measured bounds, only the trial process dies."""
    (tmp_path / "sitecustomize.py").write_text(LAX)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    raw, _ = header_bytes(FORGED["one piece of 200,000"]())
    with pytest.raises(CheckpointError, match="breaks the library"):
        header_check.check_header(raw)


def test_a_vocabulary_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_check, "SECONDS", 0)
    monkeypatch.setattr(header_check, "EXTRA_WALL_SECONDS", 0.01)
    raw, _ = header_bytes(make().to_bytes())
    with pytest.raises(CheckpointError, match="takes too long"):
        header_check.check_header(raw)


# --- the table of characters --------------------------------------------------------------------


def a_map(replacement: bytes) -> bytes:
    """A character table in SentencePiece's layout that turns ``a`` into ``replacement``."""
    units = [0] * 512
    root = 256 << 10  # children of the root begin at 256
    units[0] = root
    place = 256 ^ ord("a")
    units[place] = ord("a") | 1 << 8 | 1 << 10
    units[place ^ 1] = 1 << 31  # a value: where the replacement begins
    table = struct.pack("<512I", *units)
    return struct.pack("<I", len(table)) + table + replacement + b"\0"


def test_the_table_replaces_a_character() -> None:
    assert CharacterMap(a_map(b"xyz")).replace("bab") == "bxyzb"


def test_a_table_that_writes_megabytes_for_a_letter_is_refused() -> None:
    """2,000 letters would have become 2 GB."""
    with pytest.raises(VocabularyError, match="too much for one character"):
        PieceModel("unigram", {"a": -1.0}, a_map(b"x" * MEGABYTE))
    encoded = base64.b64encode(a_map(b"x" * 65)).decode()
    assert len(encoded) < 4_000
    with pytest.raises(VocabularyError, match="too much for one character"):
        CharacterMap(base64.b64decode(encoded))

"""SentencePiece models read and written: the oracle is SentencePiece itself."""

import random
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.marian_models import sentences, train_pieces
from transformer.errors import CheckpointError
from transformer.interop.marian.piece_model import read_piece_model, write_piece_model


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_pieces_are_those_of_sentencepiece(tmp_path: Path, algorithm: str) -> None:
    train_pieces(tmp_path / "a.spm", sentences(3000, 1), 300, algorithm)
    content = (tmp_path / "a.spm").read_bytes()
    written = write_piece_model(read_piece_model(content, "a.spm"))
    marks = "etaoinsh EA.,!?’“…ﬁ①Ⅳ½㌔ \u00a0\u3000\t\n\u200b日本カ\u3099각\u1100\u1161"
    marks += "e\u0301🙂<>▁\u00ad"
    chance = random.Random(0)
    texts = ["".join(chance.choices(marks, k=chance.randint(0, 20))) for _ in range(3000)]
    for proto in (content, written):
        oracle = sentencepiece.SentencePieceProcessor(model_proto=proto)
        cut = read_piece_model(proto, "a.spm").cut(texts)
        for text, pieces in zip(texts, cut, strict=True):
            assert [piece for piece, _ in pieces] == oracle.encode(text, out_type=str), text


def test_damaged_models_of_pieces_are_refused_or_usable(folders: dict[str, Path]) -> None:
    content = (folders["small"] / "source.spm").read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            # Half of them where the table of characters is not, which is most of the file.
            place = chance.randrange(len(damaged) if chance.random() < 0.5 else 4000)
            damaged[place] = chance.randrange(256)
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(damaged)) :]
        try:
            model = read_piece_model(bytes(damaged), "damaged.spm")
        except CheckpointError:
            refused += 1
            continue
        model.cut(["tea to tea", "日本 ﬁ e\u0301"])
    assert refused > 10


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_of_pieces(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"x\.spm"):
        read_piece_model(content, "x.spm")

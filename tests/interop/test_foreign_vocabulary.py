"""Vocabularies of other programs: read, or refused in one sentence."""

import json

import pytest

from tests.support.torch_imports import good
from transformer.checkpoint import Checkpoint
from transformer.errors import VocabularyError
from transformer.interop.foreign_vocabulary import (
    ForeignVocabulary,
    Special,
    find_special,
    read_vocabularies,
)
from transformer.interop.nn_transformer.convert import convert, survey
from transformer.interop.nn_transformer.rows import arrange

TOKENS = ["<unk>", "<pad>", "<s>", "</s>", "ein", "Haus", "zwei"]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(TOKENS),
        json.dumps({token: number for number, token in reversed(list(enumerate(TOKENS)))}),
        json.dumps({"itos": TOKENS, "freqs": {"ein": 3}}),
        json.dumps({"stoi": {token: number for number, token in enumerate(TOKENS)}}),
        "\n".join(TOKENS),
        "\ufeff" + "\r\n".join(TOKENS) + "\r\n",
        "".join(f"{token}\t{number}\n" for number, token in reversed(list(enumerate(TOKENS)))),
        "".join(f"{token}\t{900 - number}\n" for number, token in enumerate(TOKENS)),
        json.dumps({str(number): token for number, token in enumerate(TOKENS)}),
        json.dumps({"word2idx": {t: n for n, t in enumerate(TOKENS)}, "idx2word": {"0": "<unk>"}}),
        "".join(f"{number}\t{token}\n" for number, token in enumerate(TOKENS)),
        "".join(f"{token}\t{min(0, 2 - n)}.5\n" for n, token in enumerate(TOKENS)).replace(
            "\t0.5", "\t0"
        ),
        json.dumps(
            {
                "model": {"type": "BPE", "vocab": {t: n for n, t in enumerate(TOKENS) if n > 1}},
                "added_tokens": [{"id": n, "content": t} for n, t in enumerate(TOKENS) if n < 4],
            }
        ),
        json.dumps({"model": {"type": "Unigram", "vocab": [[token, -1.5] for token in TOKENS]}}),
    ],
    ids=[
        *("list", "ids", "itos", "stoi", "lines", "bom", "numbered", "counted", "tokens by id"),
        *("word2idx", "id first", "SentencePiece", "tokenizer.json", "unigram"),
    ],
)
def test_vocabularies_are_read(content: str) -> None:
    source, target = read_vocabularies(content.encode(), "vocab")
    assert source == target
    assert source.tokens == tuple(TOKENS)
    assert source.special == Special(pad=1, bos=2, eos=3, unk=0)
    assert source.kind == "words"
    made = arrange(source, 7, "source", ("eos",))
    assert made.rows == (1, 2, 3, 0, 4, 5, 6)
    assert made.vocabulary.encode("ein Haus") == [4, 5]


def test_fairseq_lists_its_special_tokens_nowhere() -> None:
    found, _ = read_vocabularies(b"ein 120\nHaus 31\nzwei 9\n", "dict.txt")
    assert found.tokens == ("<s>", "<pad>", "</s>", "<unk>", "ein", "Haus", "zwei")
    assert found.special == Special(pad=1, bos=0, eos=2, unk=3)


def test_both_sides_may_be_in_one_file() -> None:
    content = json.dumps({"source": TOKENS, "target": {"tokens": [*"ab[", "[PAD]", "[SEP]"]}})
    source, target = read_vocabularies(content.encode(), "vocab.json")
    assert source.tokens == tuple(TOKENS)
    assert target.special == Special(pad=3, bos=None, eos=4, unk=None)
    assert target.kind == "characters"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", ["empty"]),
        (b"\xff\xfea\x00", ["UTF-8"]),
        (b'{"a": 0, "b": 0}', ["same id 0", "a", "b"]),
        (b'{"a": 0, "b": 2}', ["id 1"]),
        (b'{"a": 0, "b": "1"}', ["b", "whole number"]),
        (b'{"a": 0, "a": 1}', ["a", "twice"]),
        (b'["a", "b", "a"]', ["a", "twice", "0", "2"]),
        (b'["a", 3]', ["id 1"]),
        (b'{"a": 0', ["JSON"]),
        (b"a\n\nb\n", ["Line 2"]),
        (b"a\nb\na\n", ["a", "twice"]),
        (b"[" * 100_000, ["JSON"]),
        (b'{"model": {"vocab": 3}}', ["tokenizer.json"]),
        (b'{"model": {"vocab": {}}, "added_tokens": [{"content": "a", "id": "x"}]}', ["a", "id"]),
        (b'{"source": 3, "target": []}', ["target", "whole number"]),
    ],
)
def test_broken_vocabularies_are_refused_in_a_sentence(content: bytes, named: list[str]) -> None:
    with pytest.raises(VocabularyError) as caught:
        read_vocabularies(content, "vocab.json")
    for words in named:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_vocabulary_must_fit_its_embedding() -> None:
    _, tensors = good()
    found = survey(tensors)
    whole = [*TOKENS, *(f"w{number}" for number in range(16))]

    def attempt(source: list[str], target: list[str]) -> Checkpoint:
        sides = [ForeignVocabulary(tuple(side), find_special(side)) for side in (source, target)]
        return convert(tensors, found.guesses, (sides[0], sides[1]))

    made = attempt(whole, whole[:19])
    assert made.source_vocabulary.tokens[:5] == ("<pad>", "<bos>", "<eos>", "<unk>", "ein")
    for wrong, said in (
        ((whole[:22], whole[:19]), "source vocabulary has 22 tokens"),
        ((whole, whole[:20]), "target embedding has 19 rows"),
        ((whole, [*whole[:3], "fin", *whole[4:19]]), "target vocabulary has no eos token"),
        ((whole, [*whole[:18], "half \ud800"]), "surrogate"),
    ):
        with pytest.raises(VocabularyError, match=said):
            attempt(*wrong)
    # <s> is declared as bos, so <bos> is a word, which our vocabularies do not allow.
    odd = ForeignVocabulary((*whole[:18], "<bos>"), Special(pad=1, bos=2, eos=3, unk=0))
    even = ForeignVocabulary(tuple(whole), find_special(whole))
    with pytest.raises(VocabularyError, match="token <bos> that is not its bos"):
        convert(tensors, found.guesses, (even, odd))

"""Vocabularies: round trips, unknown tokens, untrusted files."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer.errors import VocabularyError
from transformer.vocabulary import Vocabulary
from transformer.vocabulary.vocabulary import (
    BOS_ID,
    EOS_ID,
    KINDS,
    MAX_TOKEN_LENGTH,
    PAD_ID,
    SPACE_MARK,
    SPECIAL_TOKENS,
    UNK_ID,
    printable,
)

anything = st.text(max_size=20)
letters = st.text("abc de", max_size=20)
kinds = st.sampled_from(KINDS)


def tidy(text: str) -> str:
    """A text with white space as in pairs: single spaces, none at the ends."""
    return " ".join(text.replace(SPACE_MARK, "").split())


# --- Round trips -----------------------------------------------------------------------------


@given(anything)
def test_characters_come_back(text: str) -> None:
    vocabulary = Vocabulary.build("characters", [text])
    ids = vocabulary.encode(text)
    assert len(ids) == len(text)
    assert vocabulary.decode(ids) == text


@given(anything)
def test_words_come_back(text: str) -> None:
    vocabulary = Vocabulary.build("words", [text])
    ids = vocabulary.encode(text)
    assert len(ids) == len(text.split())
    assert vocabulary.decode(ids) == " ".join(text.split())


@settings(max_examples=60)
@given(st.lists(anything.map(tidy), max_size=5), st.integers(5, 80))
def test_byte_pairs_come_back(texts: list[str], size: int) -> None:
    vocabulary = Vocabulary.build("bpe", texts, size)
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == text


@settings(max_examples=60)
@given(st.lists(letters, min_size=1, max_size=5), letters.map(tidy))
def test_byte_pairs_write_texts_they_never_saw(texts: list[str], text: str) -> None:
    """Byte pairs can encode any text whose characters are known."""
    vocabulary = Vocabulary.build("bpe", [*texts, "abcde a b c d e"], 40)
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_byte_pairs_join_what_is_frequent() -> None:
    vocabulary = Vocabulary.build("bpe", ["lower lowest"] * 5, 40)
    assert len(vocabulary.encode("lower")) < len("lower")
    assert len(vocabulary) <= 40 + len(SPECIAL_TOKENS)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(texts=st.lists(anything.map(tidy), max_size=4), extra=anything.map(tidy))
def test_cut_is_encode_by_name(kind: str, texts: list[str], extra: str) -> None:
    vocabulary = Vocabulary.build(kind, [*texts, extra], 60)
    assert vocabulary.tokens_of(vocabulary.encode(extra)) == vocabulary.cut(extra)


@given(kinds, letters)
def test_special_tokens_have_the_first_four_ids(kind: str, text: str) -> None:
    vocabulary = Vocabulary.build(kind, [text])
    assert vocabulary.tokens[:4] == SPECIAL_TOKENS
    assert (PAD_ID, BOS_ID, EOS_ID, UNK_ID) == (0, 1, 2, 3)
    # Decoding ends at <eos>, whatever a batch holds after it.
    ids = vocabulary.encode(text)
    assert vocabulary.decode([*ids, EOS_ID, PAD_ID, BOS_ID, *ids]) == vocabulary.decode(ids)
    # Before <eos> they are shown, so that a word with <bos> in it is not taken for the word.
    for special in (PAD_ID, BOS_ID, UNK_ID):
        assert SPECIAL_TOKENS[special] in vocabulary.decode([*ids, special, *ids])


@given(st.lists(anything, max_size=4))
def test_frequent_tokens_come_first(texts: list[str]) -> None:
    vocabulary = Vocabulary.build("characters", texts)
    counts = [sum(text.count(token) for text in texts) for token in vocabulary.tokens[4:]]
    assert counts == sorted(counts, reverse=True)
    # The order of the texts must not decide ties, or ids would change between runs.
    assert vocabulary == Vocabulary.build("characters", texts[::-1])


# --- What a vocabulary lacks -----------------------------------------------------------------


@given(letters, anything)
def test_unknown_characters_are_named_and_never_replaced(known: str, text: str) -> None:
    vocabulary = Vocabulary.build("characters", [known])
    unknown = [mark for mark in dict.fromkeys(text) if mark not in known]
    if not unknown:
        assert vocabulary.decode(vocabulary.encode(text)) == text
        return
    with pytest.raises(VocabularyError) as caught:
        vocabulary.encode(text)
    head = str(caught.value).split(" The characters it knows:")[0]
    for mark in unknown[:5]:
        assert printable(mark) in head
    assert (f" and {len(unknown) - 5} more." in head) is (len(unknown) > 5)
    assert ("Try lower case." in head) is any(mark.lower() in known for mark in unknown)


@given(letters, anything)
def test_unknown_words_are_named_and_never_replaced(known: str, text: str) -> None:
    vocabulary = Vocabulary.build("words", [known])
    unknown = [word for word in dict.fromkeys(text.split()) if word not in known.split()]
    if not unknown:
        assert vocabulary.decode(vocabulary.encode(text)) == " ".join(text.split())
        return
    with pytest.raises(VocabularyError) as caught:
        vocabulary.encode(text)
    for word in unknown[:5]:
        assert printable(word) in str(caught.value)


@settings(max_examples=200)
@given(letters, anything | st.text("abc \n\t\u00a0\u2003" + SPACE_MARK, max_size=6))
def test_byte_pairs_replace_nothing_in_silence(known: str, text: str) -> None:
    """Either the text comes back (up to white space) or an error names an unknown character."""
    vocabulary = Vocabulary.build("bpe", [known, "ab c"])
    try:
        ids = vocabulary.encode(text)
    except VocabularyError as error:
        unknown = [mark for mark in text if mark not in known + "ab c"]
        assert any(printable(mark) in str(error) for mark in unknown)  # noqa: PT017
    else:
        assert vocabulary.decode(ids).split() == text.split()


@pytest.mark.parametrize("between", ["\u00a0", "\u2003", "\n", "\t", SPACE_MARK])
def test_byte_pairs_lose_no_unusual_space(between: str) -> None:
    """`tokenizers` silently drops unknown characters, and reads its own mark as a space."""
    vocabulary = Vocabulary.build("bpe", ["a b", "b a"])
    text = f"a{between}b"
    try:
        ids = vocabulary.encode(text)
    except VocabularyError as error:
        assert printable(between) in str(error)  # noqa: PT017  either outcome is right
    else:
        assert vocabulary.decode(ids).split() == text.split()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("special", SPECIAL_TOKENS)
def test_special_tokens_typed_by_a_person_are_unknown(kind: str, special: str) -> None:
    vocabulary = Vocabulary.build(kind, ["a b c"])
    for text in (special, f"a {special} b"):
        with pytest.raises(VocabularyError, match="does not know <"):
            vocabulary.encode(text)


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
def test_special_tokens_made_of_known_characters_are_just_text(special: str) -> None:
    for kind in ("characters", "bpe"):
        vocabulary = Vocabulary.build(kind, ["<pad> <bos> <eos> <unk>"])
        ids = vocabulary.encode(special)
        assert not {PAD_ID, BOS_ID, EOS_ID, UNK_ID} & set(ids)
        assert vocabulary.decode(ids) == special


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_character_is_refused(kind: str) -> None:
    vocabulary = Vocabulary.build(kind, ["a b c"])
    with pytest.raises(VocabularyError, match=r"U\+D800"):
        vocabulary.encode("a \ud800")
    with pytest.raises(VocabularyError):
        Vocabulary.build(kind, ["a \udfff"])


@given(letters, st.integers())
def test_ids_outside_are_refused(text: str, number: int) -> None:
    vocabulary = Vocabulary.build("characters", [text])
    if 0 <= number < len(vocabulary):
        vocabulary.decode([number])
    else:
        with pytest.raises(VocabularyError, match="outside"):
            vocabulary.decode([number])


# --- Files -----------------------------------------------------------------------------------


@settings(max_examples=40)
@given(kinds, st.lists(anything.map(tidy), max_size=4))
def test_a_vocabulary_survives_json(kind: str, texts: list[str]) -> None:
    vocabulary = Vocabulary.build(kind, texts, 50)
    read = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert read == vocabulary
    assert hash(read) == hash(vocabulary)
    for text in texts:
        assert read.encode(text) == vocabulary.encode(text)


tokens = st.text("ab" + SPACE_MARK, max_size=3) | st.text(max_size=3) | st.sampled_from(["<pad>"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | tokens
nearly = st.fixed_dictionaries(
    {
        "kind": kinds | leaves,
        "tokens": st.lists(tokens, unique=True, max_size=8) | st.lists(leaves) | leaves,
    },
    optional={
        "merges": st.lists(st.tuples(tokens, tokens) | st.lists(tokens, max_size=3), max_size=4)
        | leaves,
        "else": leaves,
    },
)
pieces = st.fixed_dictionaries(
    {
        "kind": st.just("bpe"),
        # In most subsets some merge makes a token that is missing.
        "tokens": st.lists(
            st.sampled_from(["a", "b", "ab", "ba", "aab", SPACE_MARK, SPACE_MARK + "a", "é"]),
            unique=True,
        ),
        "merges": st.lists(st.tuples(*[st.sampled_from(["a", "b", "ab", "é", "", "c"])] * 2)),
    }
)
hostile = nearly | pieces | leaves | st.lists(leaves) | st.dictionaries(leaves, leaves)


@settings(max_examples=300)
@given(hostile)
def test_a_hostile_file_is_refused_or_read_exactly(plain: Any) -> None:
    try:
        vocabulary = Vocabulary.from_dict(plain)
    except VocabularyError as error:
        assert len(str(error)) < 300  # noqa: PT017  either outcome is right
        return
    written = vocabulary.to_dict()
    assert written["kind"] == plain["kind"]
    assert list(written["tokens"]) == list(plain.get("tokens", ()))
    again = Vocabulary.from_dict(json.loads(json.dumps(written)))
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param({"kind": 10**5000, "tokens": []}, id="kind of 5000 digits"),
        pytest.param({"kind": "x" * 10**6, "tokens": []}, id="long kind"),
        pytest.param({"kind": [], "tokens": []}, id="kind is a list"),
        pytest.param({"tokens": ["a"]}, id="no kind"),
        pytest.param({"kind": "words", "tokens": "abc"}, id="text for a list"),
        pytest.param({"kind": "words", "tokens": ["a", 1]}, id="a number"),
        pytest.param({"kind": "words", "tokens": [["a"]]}, id="a list in the list"),
        pytest.param({"kind": "words", "tokens": ["a", ""]}, id="an empty token"),
        pytest.param({"kind": "words", "tokens": ["a", "b", "a"]}, id="a duplicate"),
        pytest.param({"kind": "words", "tokens": ["<eos>"]}, id="a special token"),
        pytest.param({"kind": "words", "tokens": ["a\ud800"]}, id="half a character"),
        pytest.param({"kind": "words", "tokens": ["a" * (MAX_TOKEN_LENGTH + 1)]}, id="long"),
        pytest.param({"kind": "characters", "tokens": ["ab"]}, id="two characters"),
        pytest.param({"kind": "bpe", "tokens": ["a"], "merges": [["a"]]}, id="half a merge"),
        pytest.param({"kind": "bpe", "tokens": ["a"], "merges": "ab"}, id="merges as text"),
        pytest.param({"kind": "bpe", "tokens": ["a"], "merges": [["a", "z"]]}, id="unknown part"),
        pytest.param(
            {"kind": "bpe", "tokens": ["a", "b"], "merges": [["a", "b"]]}, id="unknown result"
        ),
        pytest.param(
            {"kind": "bpe", "tokens": ["a", "b"], "merges": [["a", "\ud800"]]}, id="half in merge"
        ),
        pytest.param({"kind": "words", "tokens": [], "pattern": "(a+)+"}, id="a pipeline"),
        pytest.param([], id="a list"),
        pytest.param(None, id="null"),
    ],
)
def test_a_malformed_file_is_refused(plain: Any) -> None:
    with pytest.raises(VocabularyError) as caught:
        Vocabulary.from_dict(plain)
    assert len(str(caught.value)) < 300
    str(caught.value).encode()  # it will be printed


def test_a_vocabulary_has_a_largest_size() -> None:
    tokens = [str(number) for number in range((1 << 20) + 1)]
    with pytest.raises(VocabularyError, match="1,048,577"):
        Vocabulary("words", tokens)


@given(st.lists(st.text("abc", min_size=1, max_size=2), unique=True, max_size=5))
def test_equal_vocabularies_have_equal_hashes(tokens: list[str]) -> None:
    for merges in ([], [("a", "b")]):
        one, other = Vocabulary("words", tokens), Vocabulary("words", tokens, merges)
        if one == other:
            assert hash(one) == hash(other)


# --- Tokens on screen ------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_printable_is_printable(token: str) -> None:
    shown = printable(token)
    assert shown.isprintable()
    assert " " not in shown
    assert len(shown) <= 40


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" ", "␣"),
        ("\n", "U+000A"),
        ("\t", "U+0009"),
        ("\u00a0", "U+00A0"),
        ("\u200b", "U+200B"),  # zero-width space
        ("\u202e", "U+202E"),  # right-to-left override, which would turn the message around
        ("\ud800", "U+D800"),
        ("a b", "a␣b"),
        ("é", "é"),
    ],
)
def test_printable_shows_what_is_invisible_by_its_code(token: str, shown: str) -> None:
    assert printable(token) == shown


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_a_line_of_the_training_file_is_never_refused(kind: str) -> None:
    """White space is normalised as in training, and é is é in both of its Unicode forms."""
    trained = ["10 kg", "Oui !", "new york", "cafe\u0301", "na\u00efve"]
    vocabulary = Vocabulary.build(kind, trained)
    for typed, meant in (
        ("10\u00a0kg", "10 kg"),
        ("Oui\u202f!", "Oui !"),
        ("new  york ", "new york"),
        ("caf\u00e9", "cafe\u0301"),
        ("nai\u0308ve", "na\u00efve"),
        ("caf\u00e9 na\u00efve", "cafe\u0301 na\u00efve"),
    ):
        assert vocabulary.as_trained(typed) == meant
        assert vocabulary.encode(vocabulary.as_trained(typed)) == vocabulary.encode(meant)
    for text in trained:
        assert vocabulary.as_trained(text) == text


def test_what_was_trained_with_other_white_space_keeps_it() -> None:
    vocabulary = Vocabulary("characters", ["a", " ", "\u00a0", "\t"])
    assert vocabulary.as_trained("a\u00a0 \ta") == "a\u00a0 \ta"


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("don\u2019t", "Try ' instead of \u2019"),
        ("\uff11", "Try 1 instead of \uff11"),
        ("1\u22121", "Try - instead of \u2212"),
    ],
)
def test_a_sign_that_looks_alike_is_named(typed: str, hint: str) -> None:
    vocabulary = Vocabulary("characters", list("dont'1-"))
    with pytest.raises(VocabularyError, match=hint):
        vocabulary.encode(typed)

"""Pronunciation and SCAN: the data, and their published splits."""

from collections import Counter

import pytest

from transformer.config import DataConfig
from transformer.tasks import Pair, build_task, right_answer
from transformer.tasks.presets import prepare
from transformer.tasks.pronunciation import PHONES, WORDS, Pronunciation, dictionary, pronunciations
from transformer.tasks.scan import Scan, ScanAddJump, ScanLength, ScanSimple, meanings
from transformer.tasks.shipped import ShippedTask

KINDS = (Pronunciation, ScanSimple, ScanLength, ScanAddJump)

# From the paper, its figure 5 and its table of commands.
PUBLISHED = {
    "jump": "I_JUMP",
    "jump left": "I_TURN_LEFT I_JUMP",
    "jump around right": " ".join(["I_TURN_RIGHT I_JUMP"] * 4),
    "turn left twice": "I_TURN_LEFT I_TURN_LEFT",
    "jump thrice": "I_JUMP I_JUMP I_JUMP",
    "jump opposite left and walk thrice": ("I_TURN_LEFT I_TURN_LEFT I_JUMP I_WALK I_WALK I_WALK"),
    "jump opposite left after walk around left": (
        "I_TURN_LEFT I_WALK I_TURN_LEFT I_WALK I_TURN_LEFT I_WALK I_TURN_LEFT I_WALK "
        "I_TURN_LEFT I_TURN_LEFT I_JUMP"
    ),
}


def act(command: str) -> list[str]:
    """The actions of a command, parsed word by word, independently of the grammar in the code."""
    words = command.split()
    for joint in ("and", "after"):
        if joint in words:
            at = words.index(joint)
            first, second = act(" ".join(words[:at])), act(" ".join(words[at + 1 :]))
            return first + second if joint == "and" else second + first
    times = {"twice": 2, "thrice": 3}.get(words[-1], 1)
    if times > 1:
        words = words[:-1]
    verb, *way = words
    action = [] if verb == "turn" else [f"I_{verb.upper()}"]
    if way:
        turn = [f"I_TURN_{way[-1].upper()}"]
        if way[0] == "around":
            action = (turn + action) * 4
        else:
            action = turn * (2 if way[0] == "opposite" else 1) + action
    return action * times


def test_scan_means_what_the_paper_says() -> None:
    assert len(meanings()) == 20_910
    for command, actions in PUBLISHED.items():
        assert meanings()[command] == actions
    assert all(actions.split() == act(command) for command, actions in meanings().items())


@pytest.mark.parametrize(
    ("kind", "train", "test"),
    [
        (ScanSimple, 16_728, 4_182),
        (ScanLength, 16_990, 3_920),
        (ScanAddJump, 14_670, 7_706),
        (Pronunciation, 114_626, 12_604),
    ],
)
def test_splits_have_their_published_sizes(kind: type[ShippedTask], train: int, test: int) -> None:
    split = kind.split()
    assert (len(split.train), len(split.test)) == (train, test)
    known = {pair.source for pair in split.train}
    assert known.isdisjoint(pair.source for pair in split.test)
    assert known.isdisjoint(pair.source for pair in split.held_out)


def test_the_hard_splits_test_what_they_say() -> None:
    assert max(len(pair.target.split()) for pair in ScanLength.split().train) == 22
    assert min(len(pair.target.split()) for pair in ScanLength.split().test) > 22
    jumps = Counter(pair.source for pair in ScanAddJump.split().train if "jump" in pair.source)
    assert jumps == {"jump": 1_467}
    assert all("jump" in pair.source for pair in ScanAddJump.split().test)


def test_words_are_split_by_their_place_in_the_file() -> None:
    words = list(dictionary())
    assert len(words) == 126_052
    split = Pronunciation.split()
    assert [pair.source for pair in split.held_out] == words[19::20]
    assert [pair.source for pair in split.test][:4] == [words[i] for i in (17, 18, 37, 38)]
    assert {pair.source for pair in split.train} == {
        word for i, word in enumerate(words) if i % 20 < 17
    }


def test_one_word_is_found_as_in_the_whole_dictionary() -> None:
    words = [*list(dictionary())[::2000], "a", "a.", "'bout", "read", "o'clock", "ad-lib"]
    assert {word: pronunciations(word) for word in words} == {
        word: dictionary().get(word, ()) for word in words
    }
    for other in ("", "reab", "re.d", "read ", "nosuchwordatall"):
        assert pronunciations(other) == ()


def test_any_pronunciation_of_a_word_is_right_and_no_other() -> None:
    task = build_task(DataConfig(task="pronunciation"))
    read = Pair("read", dictionary()["read"][0])
    assert task.is_right(read, "R EH D")
    assert task.is_right(read, "R IY D")
    assert not task.is_right(read, "R EH")
    assert dictionary()["knight"] == ("N AY T",)
    assert not any(
        mark.isdigit() for variants in dictionary().values() for mark in "".join(variants)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_can_be_encoded_and_fits(kind: type[ShippedTask]) -> None:
    task, config = prepare(kind.name)
    split = kind.split()
    pairs = [*split.train, *split.held_out, *split.test]
    longest = [0, 0]
    for source, target in set(pairs):
        sizes = (
            len(task.source_vocabulary.encode(source)),
            len(task.target_vocabulary.encode(target)),
        )
        longest = [max(known, size) for known, size in zip(longest, sizes, strict=True)]
    assert tuple(longest) == kind.longest_pair
    assert max(longest) < config.model.max_length
    most_of_source, most_of_target = task.longest_trained()
    trained = [len(task.target_vocabulary.encode(pair.target)) for pair in split.train]
    assert max(trained) == most_of_target or kind.name == "pronunciation"
    assert max(trained) <= most_of_target
    assert max(len(task.source_vocabulary.encode(p.source)) for p in split.train) <= most_of_source
    assert right_answer(DataConfig(task=kind.name), kind.example.source) == kind.example.target
    assert right_answer(DataConfig(task=kind.name), "nothing of the kind") is None


@pytest.mark.parametrize("kind", KINDS)
def test_epochs_are_the_same_pairs_in_another_order(kind: type[ShippedTask]) -> None:
    task = build_task(DataConfig(task=kind.name))
    first, second = task.epoch(1, 0, 64), task.epoch(1, 1, 64)
    assert first != second
    assert first == task.epoch(1, 0, 64)
    assert sorted(first) == sorted(second) == sorted(kind.split().train)
    assert task.held_out(50) == task.held_out(100)[:50]


def test_scan_tokens_are_those_of_its_grammar() -> None:
    assert len(Scan.source_vocabulary) == 4 + 13
    assert len(Scan.target_vocabulary) == 4 + 6


def test_in_the_word_for_a_phone_one_hears_it() -> None:
    assert set(WORDS) <= set(PHONES)
    for phone, word in WORDS.items():
        assert any(phone in spoken.split() for spoken in dictionary()[word])

"""Damaged checkpoints: cut off, or changed anywhere, with and without a correct checksum."""

import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.checkpoint_files import DEEP, assert_same, assert_sentence, changed, taken_apart
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.verification import verify
from transformer.errors import CheckpointError


@settings(max_examples=120)
@given(st.data())
def test_a_file_cut_off_is_refused(content: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(CheckpointError, match=r"cut off|too short") as caught:
        Checkpoint.load(content[:length])
    assert_sentence(caught.value)


def test_one_bit_in_the_weights_is_noticed(content: bytes) -> None:
    """Any changed bit of any weight is noticed, even if the weight stays finite."""
    start = 8 + struct.unpack("<Q", content[:8])[0]
    draw = random.Random(1)
    for _ in range(60):
        damaged = bytearray(content)
        # The lowest bits of a float never make it infinite.
        damaged[draw.randrange(start, len(content), 4)] ^= 1 << draw.randrange(8)
        with pytest.raises(CheckpointError, match="checksum does not match") as caught:
            Checkpoint.load(bytes(damaged))
        assert_sentence(caught.value)


def assert_noticed_or_harmless(saved: Checkpoint, damaged: bytes) -> bool:
    """Whether the file is refused in a sentence; if not, check that it loads as saved."""
    try:
        loaded = Checkpoint.load(damaged)
    except CheckpointError as error:
        assert_sentence(error)
        return True
    assert_same(loaded, saved)
    return False


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The file after 1 to 5 random changes, deletions, insertions or copies of bytes."""
    damaged = bytearray(content)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        # Half of the changes are in the header, where every byte has a meaning.
        place = draw.randrange(header if draw.random() < 0.5 else len(damaged))
        length = draw.choice([1, 1, 1, 2, 8, 100])
        kind = draw.randrange(6)
        if kind == 0:
            damaged[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            damaged[place : place + length] = draw.randbytes(len(damaged[place : place + length]))
        elif kind == 2:
            del damaged[place : place + length]
        elif kind == 3:
            damaged[place:place] = draw.randbytes(length)
        elif kind == 4:
            other = draw.randrange(len(damaged))
            damaged[place : place + length] = damaged[other : other + length]
        else:
            digits = [n for n in range(header) if chr(content[n]).isdigit()]
            damaged[draw.choice(digits) % len(damaged)] = draw.choice(b"0123456789-e.")
        header = min(header, len(damaged))
    return bytes(damaged)


def test_a_byte_changed_is_noticed_or_without_effect(saved: Checkpoint, content: bytes) -> None:
    draw = random.Random(7)
    for _ in range(300):
        assert_noticed_or_harmless(saved, mutated(content, draw))


@pytest.mark.long
def test_twenty_thousand_mutations(saved: Checkpoint, content: bytes) -> None:
    draw = random.Random(11)
    damaged = (mutated(content, draw) for _ in range(20_000))
    refused = sum(assert_noticed_or_harmless(saved, one) for one in damaged)
    print(f"{refused:,} of 20,000 refused")
    assert refused > 18_000


def assert_refused_or_sound(damaged: bytes) -> None:
    """Check that the file is refused in a sentence or loads as a valid checkpoint."""
    try:
        loaded = Checkpoint.load(damaged)
    except CheckpointError as error:
        assert_sentence(error)
    else:
        assert_same(Checkpoint.load(loaded.to_bytes()), loaded)


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.long)])
def test_a_mutation_that_is_sealed_again(content: bytes, count: int) -> None:
    """With a correct checksum, only the other checks can notice the damage."""
    draw = random.Random(13)
    sealed = 0
    while sealed < count:
        damaged, done = sealed_again(mutated(content, draw))
        sealed += done
        assert_refused_or_sound(damaged)


def sealed_again(damaged: bytes) -> tuple[bytes, bool]:
    """The file with a recomputed checksum, and whether it could be computed."""
    try:
        return taken_apart(damaged).sealed().whole(), True
    except Exception:  # not JSON, or a key is missing
        return damaged, False


JUNK: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**63, 10**20, 10**400, 0.5, -1.5, 1e300),
    *("", "a", "\ud800", "a\nb", "<b>", "x" * 2000, [], {}, [1], [[]], ["a"], {"a": 1}, DEEP),
]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


@settings(max_examples=120)
@given(data=st.data())
def test_any_forged_value_is_refused_or_harmless(content: bytes, data: st.DataObject) -> None:
    """One value is replaced by junk and the checksum is recomputed.

    A file that still loads can be verified and saved again.
    """
    path = data.draw(st.sampled_from(list(places(taken_apart(content).description))))
    forged = changed(content, *path, to=data.draw(st.sampled_from(JUNK)))
    try:
        checkpoint = Checkpoint.load(forged)
        verify(forged)
        assert_same(Checkpoint.load(checkpoint.to_bytes()), checkpoint)
    except CheckpointError as error:
        assert_sentence(error)

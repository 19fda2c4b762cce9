"""Forged checkpoints: nothing in a file is believed unchecked."""

import json
import math
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checkpoint_files import (
    MEGABYTE,
    NORM,
    Change,
    a_hole,
    an_overlap,
    assert_same,
    assert_sentence,
    changed,
    joined,
    listed,
    little_memory,
    more_bytes,
    one_less,
    one_more,
    one_number,
    raw_value,
    renamed,
    taken_apart,
    twice,
    twice_within,
    value,
    with_header,
    without,
)
from transformer.checkpoint import Checkpoint, verify
from transformer.checkpoint_header import read_header
from transformer.errors import CheckpointError


def test_the_builder_builds_sound_files(saved: Checkpoint, content: bytes) -> None:
    """Otherwise the tests below would prove nothing but that the builder is broken."""
    rebuilt = taken_apart(content).sealed().whole()
    assert_same(Checkpoint.load(rebuilt), saved)
    assert taken_apart(content).sealed().description["sha256"] == saved.header.sha256
    assert Checkpoint.load(changed(content, "notes", to="changed")).header.notes == "changed"


def assert_refused(content: bytes, tmp_path: Path, says: str) -> None:
    """Refused from memory and from disk, in a sentence, and without taking memory for it."""
    (tmp_path / "hostile.safetensors").write_bytes(content)
    for source in (content, tmp_path / "hostile.safetensors"):
        with little_memory(), pytest.raises(CheckpointError, match=says) as caught:
            Checkpoint.load(source)
        assert_sentence(caught.value)


def a_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def a_pickle(value: Any) -> bytes:
    buffer = BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "too short"),
    "seven bytes": (b"\x02\0\0\0\0\0\0", "too short"),
    "no header": (struct.pack("<Q", 0) + b"x" * 64, "no header"),
    "random": (random.Random(1).randbytes(5000), "header would have"),
    "png": (a_png(), "header would have"),
    "csv": (b"source,target\nabc,cba\n" * 50, "header would have"),
    "state dict": (a_pickle({"weight": torch.zeros(9)}), "header would have"),
    "gigabyte in a few bytes": (a_pickle(bytearray(2 * MEGABYTE)), "header would have"),
    "header of 2^63": (struct.pack("<Q", 2**63) + b"{}" * 50, "header would have"),
    "header of 2^64 - 1": (b"\xff" * 8 + b"{}" * 50, "header would have"),
    "header beyond the file": (struct.pack("<Q", 1000) + b"{}", "cut off"),
    "header one byte too long": (struct.pack("<Q", 3) + b"{}", "cut off"),
    "not json": (joined("hello, world", b""), "not valid JSON"),
    "not utf-8": (joined(b'{"a": "\xff\xfe"}', b""), "not valid JSON"),
    "json of another kind": (joined("[1, 2, 3]", b""), "JSON object"),
    "deep lists": (joined("[" * 100_000, b""), "not valid JSON"),
    "deep and closed": (joined("[" * 100_000 + "]" * 100_000, b""), "not valid JSON"),
    "deep objects": (joined('{"a":' * 100_000 + "1" + "}" * 100_000, b""), "not valid JSON"),
    "5,000 digits": (joined(f'{{"a": {"9" * 5000}}}', b""), "not valid JSON"),
    "not a number": (joined('{"a": NaN}', b""), "not valid JSON"),
    "no metadata": (joined("{}", b""), "not saved by Transformer Workbench"),
    "metadata of another kind": (joined('{"__metadata__": []}', b""), "not saved by Transformer"),
    "metadata of another tool": (
        joined('{"__metadata__": {"format": "pt"}}', b""),
        "not saved by Transformer Workbench",
    ),
    "our key, not text": (
        joined('{"__metadata__": {"workbench": {}}}', b""),
        "not saved by Transformer Workbench",
    ),
    "our key, not json": (
        joined('{"__metadata__": {"workbench": "hello"}}', b""),
        "description is not valid JSON",
    ),
    "our key, deep": (
        joined(json.dumps({"__metadata__": {"workbench": "[" * 100_000}}), b""),
        "description is not valid JSON",
    ),
    "our key, utf-16": (
        joined('{"__metadata__": {"workbench": "{}"}}'.encode("utf-16"), b""),
        "not valid JSON|format",
    ),
    "our key, empty": (joined('{"__metadata__": {"workbench": "{}"}}', b""), "format is 'None'"),
}


@pytest.mark.parametrize("case", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_kind_is_refused(case: tuple[bytes, str], tmp_path: Path) -> None:
    content, says = case
    assert_refused(content, tmp_path, says)


def test_paths_that_are_no_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.safetensors", tmp_path / ("x" * 5000)):
        with pytest.raises(CheckpointError, match="could not be read") as caught:
            Checkpoint.load(path)
        assert "\n" not in str(caught.value)


def test_a_file_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    """A sparse file of 3 GB: it takes no room, and must not be read to be refused."""
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(3_000_000_000)
    with little_memory(), pytest.raises(CheckpointError, match="at most 2,200,000,000"):
        Checkpoint.load(path)


LONG = "x" * 5000
DEEP: Any = "bottom"
for _ in range(600):  # not deep enough for the JSON reader to mind
    DEEP = {"a": DEEP}

HOSTILE: dict[str, tuple[Change, str]] = {
    # the listing of the tensors
    "tensor twice": (twice, "not valid JSON"),
    "tensor missing": (one_less(NORM), f"'{NORM}' is missing"),
    "tensor too many": (one_more("backdoor"), "'backdoor' that this model lacks"),
    "tensor with a name of 5,000": (one_more(LONG), "that this model lacks"),
    "tensor with a name of two lines": (one_more("a\nb"), "that this model lacks"),
    "tensor renamed": (renamed(NORM, "decoder.norm.gain2"), f"'{NORM}' is missing"),
    "tensor of another shape": (listed(NORM, shape=[4, 2]), r"demands \[8\]"),
    "tensor larger than its bytes": (listed(NORM, shape=[9]), f"'{NORM}' needs 36 bytes"),
    "tensor with no dimensions": (listed(NORM, shape=[]), f"'{NORM}' needs 4 bytes"),
    "tensor of 1,000 dimensions": (listed(NORM, shape=[8] + [1] * 1000), NORM),
    "tensor of 10^5600 numbers": (listed(NORM, shape=[2**61] * 300), NORM),
    "shape (0, 10^18)": (listed(NORM, shape=[0, 10**18]), f"'{NORM}' needs 0 bytes"),
    "half precision": (listed(NORM, dtype="F16"), "'F16'; expected 'F32'"),
    "whole numbers": (listed(NORM, dtype="I64"), "'I64'; expected F32 or F16"),
    "eight bits": (listed(NORM, dtype="F8_E4M3"), "expected F32 or F16"),
    "unknown dtype": (listed(NORM, dtype=LONG), "expected F32 or F16"),
    "dtype of another kind": (listed(NORM, dtype=["F32"]), "expected F32 or F16"),
    "offsets that overlap": (an_overlap, "bytes from byte"),
    "offsets with a hole": (a_hole, "bytes from byte"),
    "offsets back to front": (listed(NORM, data_offsets=[64, 32]), "bytes from byte"),
    "offsets below zero": (listed(NORM, data_offsets=[-32, 0]), "not described as it must be"),
    "offsets with fractions": (listed(NORM, data_offsets=[0.0, 32.0]), "not described"),
    "offsets true and false": (listed(NORM, data_offsets=[False, True]), "not described"),
    "offsets of 4,000 digits": (listed(NORM, data_offsets=[0, 10**4000]), "not described"),
    "offsets beyond the file": (listed(NORM, data_offsets=[0, 2**61]), "bytes from byte"),
    "three offsets": (listed(NORM, data_offsets=[0, 32, 64]), "not described"),
    "offsets of another kind": (listed(NORM, data_offsets="ab"), "not described"),
    "shape below zero": (listed(NORM, shape=[-8]), "not described"),
    "shape with fractions": (listed(NORM, shape=[8.0]), "not described"),
    "shape true": (listed(NORM, shape=[True, 8]), "not described"),
    "entry with more keys": (listed(NORM, device="cuda"), "not described"),
    # the weights
    "not a number": (one_number(math.nan), f"'{NORM}' holds NaN or infinity"),
    "infinity": (one_number(math.inf), f"'{NORM}' holds NaN or infinity"),
    "minus infinity": (one_number(-math.inf), f"'{NORM}' holds NaN or infinity"),
    "bytes too many": (more_bytes, "4 bytes that belong to nothing"),
    # the description
    "format 2": (value("format", to=2), "format is '2'"),
    "format as text": (value("format", to="1"), "format"),
    "format of 5,000 letters": (value("format", to=LONG), "format"),
    "format missing": (without("format"), "format is 'None'"),
    "description twice": (twice_within, "not valid JSON"),
    # Sound to Python's JSON reader and not to safetensors', whose words must not come through.
    "header in utf-16": (
        with_header(lambda header: header.decode().encode("utf-16")),
        "cannot be read|JSON",
    ),
    "metadata that is no text": (
        with_header(lambda h: h.replace(b'{"__metadata__": {', b'{"__metadata__": {"a": {}, ')),
        "cannot be read|metadata",
    ),
    "metadata of two lines": (
        with_header(lambda h: h.replace(b'{"__metadata__": {', b'{"__metadata__": {"a\\nb": 5, ')),
        "cannot be read|metadata",
    ),
    "no config": (without("config"), "TransformerConfig"),
    "config of another kind": (value("config", to=[]), "TransformerConfig must be an object"),
    "d_model of a billion": (value("config", "d_model", to=10**9), "d_model = 1000000000"),
    "d_model true": (value("config", "d_model", to=True), "d_model = True"),
    "d_model with fractions": (value("config", "d_model", to=8.0), r"d_model = 8\.0"),
    "d_model as text": (value("config", "d_model", to="8"), "d_model = '8'"),
    "d_model null": (value("config", "d_model", to=None), "d_model = None"),
    "d_model below zero": (value("config", "d_model", to=-8), "d_model = -8"),
    "d_model of 4,000 digits": (value("config", "d_model", to=10**4000), "more than 38 digits"),
    "d_model of 5,000 digits": (
        raw_value("config", "d_model", text="9" * 5000),
        "description is not valid JSON",
    ),
    "d_model other than the tensors": (value("config", "d_model", to=16), "demands"),
    "dropout of 400 digits": (value("config", "dropout", to=10**400), "dropout"),
    "dropout 1e999": (raw_value("config", "dropout", text="1e999"), "dropout|not valid JSON"),
    "heads that do not divide": (value("config", "num_heads", to=3), "num_heads = 3"),
    "too many parameters": (
        lambda content: changed(
            changed(changed(content, "config", "d_model", to=8192), "config", "d_ff", to=32768),
            "config",
            "num_encoder_layers",
            to=48,
        ),
        "parameters",
    ),
    "unknown activation": (value("config", "activation", to=LONG), "activation"),
    "unknown field": (value("config", "a\nb" + LONG, to=1), "no field"),
    "field missing": (without("config", "source_vocab_size"), "source_vocab_size"),
    "other special tokens": (value("config", "bos_id", to=5), "special tokens"),
    "vocabulary too small": (
        value("source_vocabulary", "tokens", to=list("abcde")),
        "source_vocab_size is 10, but the source vocabulary has 9",
    ),
    "vocabulary too large": (
        value("target_vocabulary", "tokens", to=list("abcdefg")),
        "target_vocab_size is 10, but the target vocabulary has 11",
    ),
    "token twice": (value("source_vocabulary", "tokens", to=list("abcdea")), "stands twice"),
    "token empty": (value("source_vocabulary", "tokens", to=["", *"bcdef"]), "1 to 1000"),
    "token a number": (value("source_vocabulary", "tokens", to=[1, *"bcdef"]), "1 to 1000"),
    "token of 5,000": (value("source_vocabulary", "tokens", to=[LONG, *"bcdef"]), "1 to 1000"),
    "half a character": (
        value("source_vocabulary", "tokens", to=["\ud800", *"bcdef"]),
        "surrogate|not valid JSON",
    ),
    "special token again": (
        value("source_vocabulary", to={"kind": "words", "tokens": ["<eos>", *"bcdef"]}),
        "special meaning",
    ),
    "tokens as one text": (value("source_vocabulary", "tokens", to="abcdef"), "must be lists"),
    "unknown kind of vocabulary": (value("source_vocabulary", "kind", to=LONG), "kind"),
    "kind on two lines": (value("source_vocabulary", "kind", to="a\nb"), "kind"),
    "vocabulary with a pipeline": (
        value("source_vocabulary", "regex", to="(a+)+$"),
        "kind, tokens",
    ),
    "merges that do not fit": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": list("abcdef"), "merges": [["a", "\n" + LONG]]},
        ),
        "merges",
    ),
    # Of these the tokenizers library gives up in Rust, with an error that `except Exception`
    # does not catch: it would end a trainer, or a page, without a word.
    "merges longer than any token": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": ["ab", *"bcdef"], "merges": [["ab", "ab"]]},
        ),
        "merges",
    ),
    "merges of surrogates": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": list("abcdef"), "merges": [["a", "\ud800"]]},
        ),
        "merges|not valid JSON",
    ),
    "task of another kind": (value("data", "task", to=5), "task = 5"),
    "no summary": (without("summary"), "'summary'"),
    "summary with text": (value("summary", "loss", to="low"), r"Summary\.loss"),
    "summary with NaN": (raw_value("summary", "loss", text="NaN"), "not valid JSON"),
    "summary with 1e999": (
        raw_value("summary", "loss", text="1e999"),
        "out of range|not valid JSON",
    ),
    "summary with 400 digits": (value("summary", "steps", to=10**400), r"Summary\.steps"),
    "summary with 400 digits, fraction": (value("summary", "loss", to=10**400), r"Summary\.loss"),
    "summary true": (value("summary", "steps", to=True), r"Summary\.steps"),
    "summary incomplete": (without("summary", "loss"), "loss"),
    "summary with more": (value("summary", "a\nb" + LONG, to=1), "description"),
    "training 1e999": (
        raw_value("summary", "training", "steps", text="1e999"),
        "training|not valid JSON",
    ),
    "training very deep": (value("summary", "training", "steps", to=DEEP), "description"),
    "no examples": (without("examples"), "'examples'"),
    "examples a number": (value("examples", to=5), "description"),
    "examples a text": (value("examples", to="abc"), "[Ee]xample"),
    "examples an object": (value("examples", to={}), "examples"),
    "examples of numbers": (value("examples", to=[1, 2]), "Example"),
    "example with a number": (value("examples", 0, "output", to=5), r"Example\.output"),
    "example incomplete": (value("examples", 0, to={"source": "a"}), "target"),
    "101 examples": (
        value("examples", to=[{"source": "a", "target": "a", "output": "a"}] * 101),
        "examples",
    ),
    "notes a number": (value("notes", to=5), "notes"),
    "checksum a number": (
        lambda content: replace(
            taken_apart(content), description=taken_apart(content).description | {"sha256": 5}
        ).whole(),
        "checksum",
    ),
    "probe of another kind": (value("probe", to=[]), "Probe"),
    "probe beyond the vocabulary": (value("probe", "source", to=[4, 10]), "probe has ids outside"),
    "probe below zero": (value("probe", "target", to=[-1]), "probe has ids outside"),
    "probe empty": (value("probe", "source", to=[]), "probe has ids outside"),
    "probe too long": (value("probe", "target", to=[4] * 17), "probe has ids outside"),
    "probe of texts": (value("probe", "source", to=["4"]), "probe has ids outside"),
    "probe of fractions": (value("probe", "source", to=[4.0]), "probe has ids outside"),
    "probe of 4,000 digits": (value("probe", "source", to=[10**4000]), "probe has ids outside"),
    "probe true": (value("probe", "source", to=[True, True]), "probe has ids outside"),
    "probe's logits a list": (value("probe", "logits", to=[1.0]), r"Probe\.logits"),
    "environment very deep": (value("probe", "environment", to=DEEP), "description|environment"),
}


@pytest.mark.parametrize("case", HOSTILE.values(), ids=HOSTILE)
def test_a_forged_file_is_refused(case: tuple[Change, str], content: bytes, tmp_path: Path) -> None:
    change, says = case
    assert_refused(change(content), tmp_path, says)


@settings(max_examples=120)
@given(st.data())
def test_a_file_cut_off_is_refused(content: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(CheckpointError, match=r"cut off|too short") as caught:
        Checkpoint.load(content[:length])
    assert_sentence(caught.value)


def test_one_bit_in_the_weights_is_noticed(content: bytes) -> None:
    """Any bit of any weight, even one that leaves a sound number."""
    start = 8 + struct.unpack("<Q", content[:8])[0]
    draw = random.Random(1)
    for _ in range(60):
        damaged = bytearray(content)
        # The lowest bits of a number: they never make it infinite.
        damaged[draw.randrange(start, len(content), 4)] ^= 1 << draw.randrange(8)
        with pytest.raises(CheckpointError, match="checksum does not match") as caught:
            Checkpoint.load(bytes(damaged))
        assert_sentence(caught.value)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("notes",), "better"),
        (("summary", "exact_match"), 1.0),
        (("summary", "training", "steps"), 4),
        (("examples", 0, "output"), "abc"),
        (("source_vocabulary", "tokens"), list("bacdef")),
        (("config", "activation"), "gelu"),
        (("data", "task"), "copy"),
        (("probe", "environment", "torch"), "0"),
    ],
)
def test_the_checksum_covers_the_description(
    content: bytes, path: tuple[str | int, ...], to: Any
) -> None:
    """Changed without a new checksum: a file's history cannot be improved by an editor."""
    old = taken_apart(content).description["sha256"]
    forged = taken_apart(changed(content, *path, to=to))
    assert forged.description["sha256"] != old
    forged.description["sha256"] = old
    with pytest.raises(CheckpointError, match="checksum does not match"):
        Checkpoint.load(forged.whole())


def assert_noticed_or_harmless(saved: Checkpoint, damaged: bytes) -> bool:
    """Refused in a sentence, or loaded as what was saved; whether it was refused."""
    try:
        loaded = Checkpoint.load(damaged)
    except CheckpointError as error:
        assert_sentence(error)
        return True
    assert_same(loaded, saved)
    return False


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A file changed as files are damaged, or as somebody tries what happens."""
    damaged = bytearray(content)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        # Half of them in the header, where a change means something.
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
    """Other weights or notes with the right checksum are another file; it must be a sound one."""
    try:
        loaded = Checkpoint.load(damaged)
    except CheckpointError as error:
        assert_sentence(error)
    else:
        assert_same(Checkpoint.load(loaded.to_bytes()), loaded)


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.long)])
def test_a_mutation_that_is_sealed_again(content: bytes, count: int) -> None:
    """With the checksum right, every other check must do its work alone."""
    draw = random.Random(13)
    sealed = 0
    while sealed < count:
        damaged, done = sealed_again(mutated(content, draw))
        sealed += done
        assert_refused_or_sound(damaged)


def sealed_again(damaged: bytes) -> tuple[bytes, bool]:
    """The file with its checksum right, as somebody who forges one would make it."""
    try:
        return taken_apart(damaged).sealed().whole(), True
    except Exception:  # no JSON, no such key: nothing to seal
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
    """One value anywhere replaced by junk, with a checksum that is right.

    Whatever is accepted must survive being checked and saved again.
    """
    path = data.draw(st.sampled_from(list(places(taken_apart(content).description))))
    forged = changed(content, *path, to=data.draw(st.sampled_from(JUNK)))
    try:
        checkpoint = Checkpoint.load(forged)
        verify(forged)
        assert_same(Checkpoint.load(checkpoint.to_bytes()), checkpoint)
    except CheckpointError as error:
        assert_sentence(error)


def test_the_header_is_read_without_the_weights(content: bytes, tmp_path: Path) -> None:
    """A list of many large checkpoints must not read them all."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    header, entries, offset = read_header(path)
    assert header == Checkpoint.load(path).header
    assert offset + max(entry.end for entry in entries.values()) == len(content)
    huge = tmp_path / "huge.safetensors"
    parts = taken_apart(content)
    parts.listing = {"w": {"dtype": "F32", "shape": [10**8], "data_offsets": [0, 4 * 10**8]}}
    huge.write_bytes(replace(parts, weights=b"").whole())
    with huge.open("ab") as file:
        file.truncate(huge.stat().st_size + 4 * 10**8)
    with little_memory(10 * MEGABYTE):
        assert read_header(huge)[1]["w"].shape == (10**8,)
    with little_memory(), pytest.raises(CheckpointError, match="missing"):
        Checkpoint.load(huge)  # names and shapes come before the 400 MB of weights

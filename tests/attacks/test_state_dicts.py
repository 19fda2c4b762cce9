"""Valid files are read unchanged; for any other, the error names what it is."""

import io
import json
import pickle
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from tests.attacks.gadgets import as_legacy
from tests.support.checkpoint_files import assert_sentence, joined, make
from transformer.errors import CheckpointError
from transformer.interop.files.archives import Archive
from transformer.interop.files.state_dicts import read_state_dict, to_safetensors
from transformer.interop.files.tensor_files import read_tensors
from transformer.interop.formats import recognise


def state_dict() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return torch.nn.Transformer(8, 2, 1, 1, 8).state_dict()


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], tensor.float())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_what_training_scripts_save_comes_through(legacy: bool, tmp_path: Path) -> None:
    """A state dict in a checkpoint with an optimizer and counters; views, masks, other types."""
    weights = state_dict()
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    optimizer.step(lambda: torch.tensor(0.0))
    whole = torch.arange(12.0).reshape(3, 4)
    model: dict[str, Any] = weights | {
        "transposed": whole.T,
        "a part": whole[1:, 2],
        "half": torch.randn(4).half(),
        "brain": torch.randn(4).bfloat16(),
        "double": torch.randn(4, dtype=torch.float64),
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "none": torch.zeros(0, 4),
    }
    left_out = {
        "batches": torch.tensor(7),
        "pad_mask": torch.zeros(2, 2, dtype=torch.bool),
        "tgt_mask": torch.nn.Transformer.generate_square_subsequent_mask(5),
    }
    path = tmp_path / "any name"
    torch.save(
        {"epoch": 3, "loss": 1.5, "model": model | left_out, "optimizer": optimizer.state_dict()},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    assert recognise(path).name == "state-dict"
    # As read_state_dict does, but the reader process, which takes seconds, is started only once.
    to_safetensors(path, tmp_path / "tensors")
    assert_equal(read_tensors(tmp_path / "tensors"), model)
    kept = read_tensors(tmp_path / "tensors", as_stored=True)
    assert torch.equal(kept["double"], model["double"])
    assert kept["double"].dtype == torch.float64
    assert kept["half"].dtype == torch.float16


def test_parts_under_names_of_their_own_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    double = torch.ones(3, dtype=torch.float64)
    torch.save({"encoder": {"a": torch.ones(2)}, "decoder": {"b": {"c": double}}}, path)
    found = read_state_dict(path, as_stored=True)
    assert found.keys() == {"encoder.a", "decoder.b.c"}
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        "encoder.a": torch.float32,
        "decoder.b.c": torch.float64,
    }


def test_a_foreign_safetensors_file_comes_through(tmp_path: Path) -> None:
    weights = state_dict() | {"half": torch.randn(4).bfloat16()}
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(weights | {"steps": torch.tensor(3)}, path, {"format": "pt"})
    assert recognise(path).name == "state-dict"
    assert_equal(read_state_dict(path), weights)


def test_our_own_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(make().to_bytes())
    assert recognise(path).name == "own"


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def listing(**changes: Any) -> bytes:
    return joined(json.dumps({"w": ENTRY | changes}), bytes(8))


HEADERS: dict[str, bytes] = {
    "no header": struct.pack("<Q", 0) + b"{}" * 8,
    "a length of 2^63": struct.pack("<Q", 2**63) + b"{}" * 8,
    "a length beyond the file": struct.pack("<Q", 1000) + b'{"a": 1}',
    "no JSON": joined("{hello", bytes(8)),
    "no object": joined("[1]", bytes(8)),
    "not in UTF-8": joined(b'{"\xff": 1}', bytes(8)),
    "in UTF-16": joined('{"w": 1}'.encode("utf-16"), bytes(8)),
    "deep": joined('{"a":' * 50_000 + "1" + "}" * 50_000, b""),
    "a number of 5,000 digits": joined(f'{{"w": {"9" * 5000}}}', b""),
    "NaN": joined('{"w": NaN}', b""),
    "the same name twice": joined(
        f'{{"w": {json.dumps(ENTRY)}, "w": {json.dumps(ENTRY)}}}', bytes(8)
    ),
    "half a character": joined('{"\\ud800": ' + json.dumps(ENTRY) + "}", bytes(8)),
    "an entry that is a list": joined('{"w": []}', b""),
    "an entry with more": listing(device="cuda"),
    "an entry with less": joined('{"w": {"dtype": "F32", "shape": [2]}}', bytes(8)),
    "a shape that is a number": listing(shape=2),
    "a shape below zero": listing(shape=[-2]),
    "a shape with fractions": listing(shape=[2.0]),
    "a shape that is true": listing(shape=[True, 2]),
    "a shape too large": listing(shape=[3]),
    "a shape of 10^18": listing(shape=[10**18]),
    "a shape of 1,000 dimensions": listing(shape=[1] * 1000),
    "three offsets": listing(data_offsets=[0, 4, 8]),
    "offsets back to front": listing(data_offsets=[8, 0]),
    "offsets below zero": listing(data_offsets=[-8, 0]),
    "offsets beyond the file": listing(data_offsets=[0, 2**61]),
    "a hole before the first": listing(data_offsets=[4, 12]),
    "bytes of nothing": joined(json.dumps({"w": ENTRY}), bytes(12)),
    "cut off": joined(json.dumps({"w": ENTRY}), bytes(7)),
    "an overlap": joined(json.dumps({"v": ENTRY, "w": ENTRY}), bytes(8)),
    "an unknown type": listing(dtype="F99"),
    "eight bits": listing(dtype="F8_E4M3", shape=[8]),
    "a name of two lines": joined(json.dumps({"a\nb": ENTRY}), bytes(8)),
    "a name of right-to-left": joined(json.dumps({"a\u202eb": ENTRY}), bytes(8)),
    "a name of 5,000": joined(json.dumps({"x" * 5000: ENTRY}), bytes(8)),
    "no tensors": joined("{}", b""),
    "whole numbers alone": listing(dtype="I64", shape=[1]),
    "not a number": joined(json.dumps({"w": ENTRY}), struct.pack("<2f", 1, float("nan"))),
    "infinity": joined(json.dumps({"w": ENTRY}), struct.pack("<2f", 1, float("inf"))),
    "too many parameters": joined(
        json.dumps({"w": {"dtype": "F16", "shape": [6 * 10**8], "data_offsets": [0, 12 * 10**8]}}),
        b"",
    ),
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_a_malformed_safetensors_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    assert_sentence(caught.value)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def torchscript() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


OTHERS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "an empty file"),
    "a text": (b"hello, this is no model\n" * 40, "a text file"),
    "a text of two bytes a letter": ("ä".encode() * 300, "a text file"),
    "a page": (b"<!doctype html><p>404", "a web page"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG"),
    "packed": (b"\x1f\x8b\x08" + bytes(99), "gzip"),
    "noise": (bytes(range(255, 0, -1)) * 4, "unknown kind"),
    "a pickle": (pickle.dumps({"a": 1}), "a Python pickle"),
    "a zip of texts": (zipped(**{"a.txt": b"1", "b.txt": b"2"}), "neither a config.json"),
    "an empty zip": (zipped(), "none"),
    "half a zip": (zipped(**{"config.json": b"{}"})[:40], "directory cannot be read"),
    "a program": (torchscript(), "TorchScript"),
}


@pytest.mark.parametrize(("content", "says"), OTHERS.values(), ids=OTHERS)
def test_what_is_not_taken_is_named(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as caught:
        recognise(path)
    assert_sentence(caught.value)


def test_a_damaged_state_dict_is_refused_or_read(tmp_path: Path) -> None:
    """A truncated file is refused in one sentence, and leaves no file behind."""
    buffer = io.BytesIO()
    torch.save(state_dict(), buffer)
    legacy = io.BytesIO()
    torch.save(state_dict(), legacy, _use_new_zipfile_serialization=False)
    path, target = tmp_path / "model.pt", tmp_path / "target"
    for content in (buffer.getvalue()[:-500], legacy.getvalue()[:-500], as_legacy(b"\x80\x02")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            to_safetensors(path, target)
        assert_sentence(caught.value)
        assert list(tmp_path.iterdir()) == [path]


# --- archives ------------------------------------------------------------------------------


def named(name: str, **fields: Any) -> bytes:
    """A zip with one valid member and one of this name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", b"{}")
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        for field, value in fields.items():
            setattr(info, field, value)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # a name twice
            archive.writestr(info, b"x")
    return buffer.getvalue()


def encrypted() -> bytes:
    content = bytearray(named("a"))
    content[content.rindex(b"PK\1\2") + 8] |= 1
    return bytes(content)


ARCHIVES: dict[str, bytes] = {
    "up": named("../evil"),
    "up within": named("a/../../evil"),
    "absolute": named("/etc/passwd"),
    "a drive": named("C:evil"),
    "backslashes": named("..\\evil"),
    "a dot": named("a/./b"),
    "an empty part": named("a//b"),
    "a link": named("link", external_attr=0o120777 << 16),
    "a device": named("device", external_attr=0o020666 << 16),
    "two lines": named("a\nb"),
    "right to left": named("a\u202eb"),
    "a long name": named("x" * 500),
    "the same twice": named("config.json"),
    "encrypted": encrypted(),
    "another method": named("a", compress_type=zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_reaches_out_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="was not opened") as caught:
        Archive(path)
    assert_sentence(caught.value)


def test_a_sound_archive_is_read(tmp_path: Path) -> None:
    path, target = tmp_path / "model.zip", tmp_path / "target"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/config.json", b'{"a": 1}')
        archive.writestr("model/vocab.json", b'"token", ' * 50_000)
    path.write_bytes(buffer.getvalue())
    assert recognise(path).name == "marian"
    with Archive(path) as found:
        assert dict(found.members()) == {"model/config.json": 8, "model/vocab.json": 450_000}
        assert found.read("model/config.json", 100) == b'{"a": 1}'
        with pytest.raises(CheckpointError, match="at most 7 are taken"):
            found.read("model/config.json", 7)
        with pytest.raises(CheckpointError, match="has no file"):
            found.read("../config.json", 7)
        found.extract("model/vocab.json", target, 10**6)
        assert target.read_bytes() == b'"token", ' * 50_000
    damaged = bytearray(buffer.getvalue())
    place = damaged.index(b"model/vocab.json") + 40
    damaged[place] ^= 0xFF
    path.write_bytes(damaged)
    with Archive(path) as found, pytest.raises(CheckpointError, match="is damaged"):
        found.extract("model/vocab.json", target, 10**6)
    assert not target.exists()

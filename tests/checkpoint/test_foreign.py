"""Files that are not checkpoints, or are too large, are refused."""

import json
import random
import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.checkpoint_files import (
    MEGABYTE,
    assert_refused,
    joined,
    little_memory,
    taken_apart,
)
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.header import read_header
from transformer.errors import CheckpointError


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
    "state dict": (a_pickle({"weight": torch.zeros(9)}), "may be a PyTorch file"),
    "gigabyte in a few bytes": (a_pickle(bytearray(2 * MEGABYTE)), "may be a PyTorch file"),
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
    """A sparse file of 3 GB, which takes no disk space, is refused without being read."""
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(3_000_000_000)
    with little_memory(), pytest.raises(CheckpointError, match="at most 2,200,000,000"):
        Checkpoint.load(path)


def test_the_header_is_read_without_the_weights(content: bytes, tmp_path: Path) -> None:
    """Reading a header takes little memory, so that many large files can be listed."""
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

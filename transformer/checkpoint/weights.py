"""Reads the tensors of a .safetensors file one by one: no weight is in memory twice."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedIOBase, BytesIO
from pathlib import Path

import torch
from torch import Tensor

from transformer.checkpoint.header import MAX_FILE_BYTES
from transformer.checkpoint.layout import Entry
from transformer.errors import CheckpointError, reading

FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
FLOAT_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
FINITE_CHECK_CHUNK = 1 << 22
"""Numbers checked at a time for NaN and infinity: the check takes as much memory again."""


def read_weights(
    source: Path | bytes,
    entries: Mapping[str, Entry],
    offset: int,
    seen: Callable[[bytearray], object] = lambda _: None,
) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and tensors of floating point in file order, in the file's types.

    The file is read, never mapped: a mapped file that is truncated in use kills the process.

    Args:
        entries: the tensors in the header, checked against the file's size.
        offset: of the first weight's byte.
        seen: called with each tensor's bytes, for a checksum.

    Raises:
        CheckpointError: the file cannot be read, or was truncated meanwhile.
    """
    with _opened(source) as file:
        for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
            if entry.dtype not in FLOATS:
                continue
            content = bytearray(entry.end - entry.start)
            file.seek(offset + entry.start)
            if file.readinto(content) != len(content):
                raise CheckpointError("The file was cut off while it was read.")
            seen(content)
            yield name, _tensor(content, entry)


@contextmanager
def _opened(source: Path | bytes) -> Iterator[BufferedIOBase]:
    if isinstance(source, bytes):
        yield BytesIO(source)
    else:
        with reading(source), source.open("rb") as file:
            yield file


def _tensor(content: bytearray, entry: Entry) -> Tensor:
    dtype = FLOATS[entry.dtype]
    if not content:
        # A shape such as (0, 10^18) has no numbers, but is too large for torch all the same.
        sound = math.prod(n for n in entry.shape if n) < MAX_FILE_BYTES
        return torch.empty(entry.shape if sound else (0,), dtype=dtype)
    if sys.byteorder == "big":  # the file's numbers are little-endian
        size = FLOAT_SIZES[entry.dtype]
        content[:] = b"".join(
            content[start : start + size][::-1] for start in range(0, len(content), size)
        )
    return torch.frombuffer(content, dtype=dtype).reshape(entry.shape)


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity."""
    parts = tensor.reshape(-1).split(FINITE_CHECK_CHUNK)
    return all(bool(torch.isfinite(part).all()) for part in parts)


def check_finite(name: str, tensor: Tensor) -> None:
    """Raises CheckpointError if a tensor holds NaN or infinity."""
    if not is_finite(tensor):
        raise CheckpointError(f"The tensor {name!r} holds NaN or infinity.")

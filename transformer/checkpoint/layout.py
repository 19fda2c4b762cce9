"""Types, shapes and byte ranges of the tensors in a .safetensors file, read without torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from transformer.errors import CheckpointError

FLOAT_BYTES = {"F32": 4, "F16": 2}
"""Bytes per number of each type that weights have on disk; in memory all are 32-bit."""


@dataclass(frozen=True)
class Entry:
    """A tensor's type, shape and range of bytes, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def parse_entry(name: str, value: object, sizes: Mapping[str, int] = FLOAT_BYTES) -> Entry:
    """Parse the entry of one tensor in a .safetensors header.

    Args:
        sizes: the accepted types, each with its bytes per number.

    Raises:
        CheckpointError: the entry is malformed, or has another type.
    """
    malformed = CheckpointError(f"The tensor {name[:80]!r} is not described as it must be.")
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise malformed
    shape, offsets = value["shape"], value["data_offsets"]
    if (
        not isinstance(shape, list)
        or not isinstance(offsets, list)
        or len(offsets) != 2
        or len(shape) > 8
    ):
        raise malformed
    if not all(type(number) is int and 0 <= number < 2**62 for number in [*shape, *offsets]):
        raise malformed
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in sizes:
        raise CheckpointError(
            f"The tensor {name[:80]!r} has type {str(dtype)[:20]!r}; expected {' or '.join(sizes)}."
        )
    return Entry(dtype, tuple(shape), offsets[0], offsets[1])


def check_layout(
    entries: Mapping[str, Entry], data_bytes: int, sizes: Mapping[str, int] = FLOAT_BYTES
) -> None:
    """Check that the tensors fill the rest of the file, without gaps or overlaps.

    Raises:
        CheckpointError: they do not.
    """
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
        needed = sizes[entry.dtype] * math.prod(entry.shape)
        if entry.start != position or entry.end - entry.start != needed:
            raise CheckpointError(
                f"The tensor {name[:80]!r} needs {needed:,} bytes from byte {position:,}, but the "
                f"header gives it {entry.start:,} to {entry.end:,}."
            )
        position = entry.end
    if position > data_bytes:
        raise CheckpointError(
            f"The file is cut off: its weights need {position:,} bytes, it has {data_bytes:,}."
        )
    if position < data_bytes:
        raise CheckpointError(
            f"The file has {data_bytes - position:,} bytes that belong to nothing."
        )

"""Tensors from a .safetensors file of any origin, each checked before memory is taken for it."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from transformer.checkpoint.header import (
    MAX_FILE_BYTES,
    Entry,
    check_layout,
    header_bytes,
    parse_entry,
    parse_json,
)
from transformer.config.architecture import MAX_PARAMETERS
from transformer.errors import CheckpointError, reading
from transformer.vocabulary.vocabulary import printable

FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
FLOAT_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
LEFT_OUT = {"BOOL": 1, "I8": 1, "U8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}
"""Counters and masks, which no model computes with: passed over without a word."""
SIZES = FLOAT_SIZES | LEFT_OUT
MAX_TENSORS = 20_000
MAX_NAME = 200


def read_tensors(path: Path, *, keep_float64: bool = False) -> dict[str, Tensor]:
    """All tensors of floating point in a file, by name, in memory of their own.

    Args:
        keep_float64: leave 64-bit tensors as they are; all others become float32.

    Raises:
        CheckpointError: the file is not sound, or no model can be made of it; one sentence.
    """
    entries, offset = tensor_entries(path)
    found = dict(_read(path, entries, offset, keep_float64))
    if not found:
        raise CheckpointError("The file holds no weights: it has no tensor of floating point.")
    return found


def tensor_entries(path: Path) -> tuple[dict[str, Entry], int]:
    """What a file's header says of its tensors, checked, and the offset of the first byte.

    Raises:
        CheckpointError: the header is not sound, or lists more than a model may have.
    """
    raw, size = header_bytes(path)
    listing = parse_json(raw, "The file's header")
    listing.pop("__metadata__", None)
    if len(listing) > MAX_TENSORS:
        raise CheckpointError(
            f"The file has {len(listing):,} tensors; at most {MAX_TENSORS:,} are taken."
        )
    for name in listing:
        check_name(name)
    entries = {name: parse_entry(name, value, SIZES) for name, value in listing.items()}
    check_layout(entries, size - 8 - len(raw), SIZES)
    total = sum(math.prod(e.shape) for e in entries.values() if e.dtype in FLOAT_SIZES)
    if total > MAX_PARAMETERS:
        raise CheckpointError(
            f"The file has {total:,} parameters; at most {MAX_PARAMETERS:,} are allowed."
        )
    return entries, 8 + len(raw)


def check_name(name: str) -> None:
    """Raises CheckpointError if a tensor's name could not be shown as it is."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise CheckpointError(
            f"The tensor name {printable(name)} is longer than {MAX_NAME} characters or has "
            "invisible ones."
        )


def _read(
    path: Path, entries: dict[str, Entry], offset: int, keep_float64: bool
) -> Iterator[tuple[str, Tensor]]:
    # Read, never mapped: a mapped file that is cut while in use kills the process.
    with reading(path), path.open("rb") as file:
        for name, entry in entries.items():
            if entry.dtype not in FLOATS:
                continue
            content = bytearray(entry.end - entry.start)
            file.seek(offset + entry.start)
            if file.readinto(content) != len(content):
                raise CheckpointError("The file was cut off while it was read.")
            tensor = _tensor(content, entry, keep_float64)
            if not _is_mask(tensor):
                _check_finite(name, tensor)
                yield name, tensor


def _tensor(content: bytearray, entry: Entry, keep_float64: bool) -> Tensor:
    dtype = FLOATS[entry.dtype]
    if not content:
        # A shape such as (0, 10^18) has no numbers, but is too large for torch all the same.
        sound = math.prod(n for n in entry.shape if n) < MAX_FILE_BYTES
        return torch.empty(entry.shape if sound else (0,), dtype=dtype).float()
    if sys.byteorder == "big":  # the file's numbers are little-endian
        size = FLOAT_SIZES[entry.dtype]
        content[:] = b"".join(
            content[start : start + size][::-1] for start in range(0, len(content), size)
        )
    tensor = torch.frombuffer(content, dtype=dtype).reshape(entry.shape)
    return tensor if keep_float64 and dtype is torch.float64 else tensor.float()


def _is_mask(tensor: Tensor) -> bool:
    """Whether it is a causal mask that was kept with the weights: nothing but 0 and -infinity."""
    if tensor.dim() < 2 or not bool((tensor.reshape(-1)[-1:] == 0).all()):
        return False  # almost all tensors end here, after one number
    hidden = tensor == -math.inf
    return bool(hidden.any()) and bool(((tensor == 0) | hidden).all())


def _check_finite(name: str, tensor: Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"The tensor {name!r} holds NaN or infinity.")

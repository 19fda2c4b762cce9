"""Reads untrusted .safetensors files; tensors are checked before memory is allocated."""

import math
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from transformer.checkpoint.header import header_bytes, parse_json
from transformer.checkpoint.layout import Entry, check_layout, parse_entry
from transformer.checkpoint.weights import FLOAT_SIZES, is_finite, read_weights
from transformer.config.architecture import MAX_PARAMETERS
from transformer.errors import CheckpointError
from transformer.vocabulary.vocabulary import printable

LEFT_OUT = {"BOOL": 1, "I8": 1, "U8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8}
"""Bytes per number of types of counters and masks, which are skipped silently."""
SIZES = FLOAT_SIZES | LEFT_OUT
MAX_TENSORS = 20_000
MAX_NAME = 200


def read_tensors(path: Path, *, as_stored: bool = False) -> dict[str, Tensor]:
    """All floating-point tensors of a file by name, copied into memory.

    Args:
        as_stored: keep the tensors' types; else all become float32.

    Raises:
        CheckpointError: the file is malformed, or no model can be made of it; one sentence.
    """
    entries, offset = tensor_entries(path)
    found = dict(_read(path, entries, offset, as_stored))
    if not found:
        raise CheckpointError("The file holds no weights: it has no tensor of floating point.")
    return {name: found[name] for name in entries if name in found}


def tensor_entries(path: Path) -> tuple[dict[str, Entry], int]:
    """The checked entries of a file's header, and the offset of the first weight's byte.

    Raises:
        CheckpointError: the header is malformed, or lists more than a model may have.
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
    """Raises CheckpointError if a tensor's name is too long or has invisible characters."""
    if len(name) > MAX_NAME or not name.isprintable():
        raise CheckpointError(
            f"The tensor name {printable(name)} is longer than {MAX_NAME} characters or has "
            "invisible ones."
        )


def _read(
    path: Path, entries: dict[str, Entry], offset: int, as_stored: bool
) -> Iterator[tuple[str, Tensor]]:
    for name, found in read_weights(path, entries, offset):
        tensor = found if as_stored else found.float()
        if _is_mask(tensor):
            continue
        if not is_finite(tensor):
            raise CheckpointError(
                f"The tensor {name!r} holds NaN or infinity. If it is a buffer that the model can "
                f"do without, save the others: {{name: one for name, one in state.items() if name "
                f"!= {name!r}}}."
            )
        yield name, tensor


def _is_mask(tensor: Tensor) -> bool:
    """Whether a tensor is a causal mask saved with the weights: only 0 and -infinity."""
    if tensor.dim() < 2 or not bool((tensor.reshape(-1)[-1:] == 0).all()):
        return False  # almost every tensor is settled here, by one number
    hidden = tensor == -math.inf
    return bool(hidden.any()) and bool(((tensor == 0) | hidden).all())

"""Tensors from a .safetensors file of any origin, each checked before memory is taken for it."""

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
"""Counters and masks, which no model computes with: passed over without a word."""
SIZES = FLOAT_SIZES | LEFT_OUT
MAX_TENSORS = 20_000
MAX_NAME = 200


def read_tensors(path: Path, *, as_stored: bool = False) -> dict[str, Tensor]:
    """All tensors of floating point in a file, by name, in memory of their own.

    Args:
        as_stored: leave their types as they are; else all become float32.

    Raises:
        CheckpointError: the file is not sound, or no model can be made of it; one sentence.
    """
    entries, offset = tensor_entries(path)
    found = dict(_read(path, entries, offset, as_stored))
    if not found:
        raise CheckpointError("The file holds no weights: it has no tensor of floating point.")
    return {name: found[name] for name in entries if name in found}


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
    """Whether it is a causal mask that was kept with the weights: nothing but 0 and -infinity."""
    if tensor.dim() < 2 or not bool((tensor.reshape(-1)[-1:] == 0).all()):
        return False  # almost all tensors end here, after one number
    hidden = tensor == -math.inf
    return bool(hidden.any()) and bool(((tensor == 0) | hidden).all())

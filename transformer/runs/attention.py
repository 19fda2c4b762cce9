"""How attention forms: the weights of a few held-out examples at some moments of training.

:mod:`trainer.attention` writes these records, the app reads them. A run directory has two files:
``attention.json``, written once, with the examples' tokens and the model's shape; and
``attention.bin``, to which each moment appends one record of fixed length:

    step         int64
    for each example, teacher-forced:
      loss         float32, nats a target token
      probability  uint8 [target], of each true token, in 255ths
      right        uint8 [target], 1 where the true token was the most likely
      encoder      uint8 [layer, head, source, source], weights in 255ths
      decoder      uint8 [layer, head, target, target]
      cross        uint8 [layer, head, target, source]

An incomplete record at the end of the file is ignored. Reading loads no torch.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from transformer.errors import RunError
from transformer.runs.metrics import EARLY, early_axis

HEADER, RECORDS = "attention.json", "attention.bin"
KINDS = ("encoder", "decoder", "cross")
MOMENTS = 60
EXAMPLES = 4
CANDIDATES = 8
"""Held-out pairs from which the examples are chosen: those that a run shows throughout."""
RECORD_BYTES = 200_000
FILE_BYTES = 100 * RECORD_BYTES
HEADER_BYTES = 4_000_000
LAST_STEP = 10**12


def moments(steps: int) -> list[int]:
    """The steps of a run of ``steps`` updates to record: 0, the last, up to 58 in between.

    They are evenly spaced on :func:`early_axis` and depend on the planned steps alone, so that a
    resumed run records the same ones as an uninterrupted run. With 1,500 updates, the first are
    2 steps apart and the last 100.
    """
    end = early_axis(steps)
    places = (end * i / (MOMENTS - 1) for i in range(MOMENTS))
    return sorted({min(round(EARLY * math.expm1(place)), steps) for place in places} | {steps})


@dataclass(frozen=True)
class Example:
    """A recorded example as tokens.

    text: the source as typed.
    source: its tokens with the special tokens that the model reads, mostly a final <eos>.
    read: the decoder's input: the start token and the target.
    written: the decoder's correct output: the target and <eos>.
    """

    text: str
    source: tuple[str, ...]
    read: tuple[str, ...]
    written: tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """The part of a model's config that determines the length of a record."""

    num_encoder_layers: int
    num_decoder_layers: int
    num_heads: int

    def maps(self, source: int, target: int) -> dict[str, tuple[int, int, int, int]]:
        """Kind -> [layer, head, query, key]."""
        encoder, decoder = self.num_encoder_layers, self.num_decoder_layers
        return {
            "encoder": (encoder, self.num_heads, source, source),
            "decoder": (decoder, self.num_heads, target, target),
            "cross": (decoder, self.num_heads, target, source),
        }

    def bytes_of(self, source: int, target: int) -> int:
        """Bytes of one example in a record."""
        return 4 + 2 * target + sum(map(math.prod, self.maps(source, target).values()))

    def record(self, lengths: Sequence[tuple[int, int]]) -> np.dtype[np.void]:
        """A record as numpy reads it, for examples of these (source, target) lengths."""
        fields: list[tuple[Any, ...]] = [("step", "<i8")]
        for number, (source, target) in enumerate(lengths):
            fields.append((f"loss {number}", "<f4"))
            fields += [(f"{name} {number}", "u1", (target,)) for name in ("probability", "right")]
            maps = self.maps(source, target)
            fields += [(f"{kind} {number}", "u1", shape) for kind, shape in maps.items()]
        return np.dtype(fields)


def lengths_of(examples: Sequence[Example]) -> list[tuple[int, int]]:
    """Numbers of source and target tokens of each example."""
    return [(len(example.source), len(example.written)) for example in examples]


DAMAGED = "The attention history of this run is damaged and cannot be shown; the run itself is not."


@dataclass(frozen=True)
class AttentionHistory:
    """The attention recorded so far.

    note: why there are no examples, in a sentence; empty if there are some.
    records: one per moment, in increasing order of steps.
    """

    examples: tuple[Example, ...]
    note: str
    records: NDArray[np.void]

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read a run directory; None if nothing was ever recorded.

        The files are not trusted: sizes are checked before anything is allocated.

        Raises:
            RunError: the files are damaged.
        """
        content = _read(folder / HEADER, HEADER_BYTES)
        if content is None:
            return None
        shape, examples, note = _parse(content)
        if not examples:
            return cls((), note, np.zeros(0, np.dtype([("step", "<i8")])))
        lengths = lengths_of(examples)
        size = 8 + sum(shape.bytes_of(*length) for length in lengths)
        if size > RECORD_BYTES:
            raise RunError(DAMAGED)
        dtype = shape.record(lengths)
        content = _read(folder / RECORDS, FILE_BYTES) or b""
        records = np.frombuffer(content, dtype, count=len(content) // dtype.itemsize)
        return cls(examples, note, records[: _rising(records["step"])])

    @property
    def steps(self) -> NDArray[np.int64]:
        """[moment]"""
        return self.records["step"]

    def loss(self, example: int) -> NDArray[np.float32]:
        """The example's own loss in nats per token: [moment]. Not finite if the model diverged."""
        return self.records[f"loss {example}"]

    def probability(self, example: int) -> NDArray[np.uint8]:
        """Probability of each true target token, in 255ths: [moment, target]."""
        return self.records[f"probability {example}"]

    def right(self, example: int) -> NDArray[np.bool_]:
        """Whether each true target token was the most likely: [moment, target]."""
        return self.records[f"right {example}"] != 0

    def weights(self, example: int, kind: str) -> NDArray[np.uint8]:
        """Attention weights in 255ths: [moment, layer, head, query, key]."""
        return self.records[f"{kind} {example}"]


def _read(path: Path, most: int) -> bytes | None:
    """A file's content; None if there is no file.

    Raises:
        RunError: it cannot be read, or is larger than any we write.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError:
        raise RunError(DAMAGED) from None
    if len(content) > most:
        raise RunError(DAMAGED)
    return content


def _parse(content: bytes) -> tuple[Shape, tuple[Example, ...], str]:
    """
    Raises:
        RunError: the header is not one that a recorder writes.
    """
    try:
        header = json.loads(content)
        shape = Shape(**header["shape"])
        examples = tuple(
            Example(plain["text"], *(tuple(plain[side]) for side in ("source", "read", "written")))
            for plain in header["examples"]
        )
        note = header["note"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(DAMAGED) from None
    texts = [note, *(example.text for example in examples)]
    sides = [side for e in examples for side in (e.source, e.read, e.written)]
    sound = (
        header.get("version") == 1
        and len(examples) <= EXAMPLES
        and all(type(size) is int and 0 < size <= 1024 for size in asdict(shape).values())
        and all(map(_is_text, texts))
        and all(0 < len(side) <= RECORD_BYTES for side in sides)
        and all(_is_text(token) for side in sides for token in side)
        and all(len(example.read) == len(example.written) for example in examples)
    )
    if not sound:
        raise RunError(DAMAGED)
    return shape, examples, note


def _is_text(value: object) -> bool:
    """Whether it is a string that UTF-8 can encode: one without a lone surrogate."""
    return isinstance(value, str) and not any("\ud800" <= mark <= "\udfff" for mark in value)


def _rising(steps: NDArray[np.int64]) -> int:
    """Number of records before the first whose step does not exceed the step before it."""
    wrong = (np.diff(steps, prepend=-1) <= 0) | (steps < 0) | (steps > LAST_STEP)
    return int(wrong.argmax()) if wrong.any() else len(steps)

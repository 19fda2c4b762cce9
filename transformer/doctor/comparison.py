"""Compares our model with a recording: how far logits differ, and where values first differ."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transformer.doctor.recording import Array, Pair, Recording
from transformer.faults.fault import attentions, change_class
from transformer.hooks import own_modules, record
from transformer.model import MultiHeadAttention, Transformer

EQUAL = 1e-6
"""Logits count as equal if they differ by less than this share of their spread: computing in 64
bits with weights and tables made in 32 bits leaves less."""


@dataclass(frozen=True)
class Distance:
    """How far logits differ.

    by_probe: probe -> largest difference, as a share of the spread.
    absolute: the largest of all probes.
    """

    by_probe: dict[str, float]
    absolute: float

    @property
    def largest(self) -> float:
        return max(self.by_probe.values())

    @property
    def equal(self) -> bool:
        return self.largest < EQUAL


class HidesTargetPadding(MultiHeadAttention):
    """Decoder self-attention that masks padding of the target too.

    Masking it is as correct as not: the causal mask hides it from the real tokens before it anyway.
    """

    seen: Tensor

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            mask = mask & self.seen
        return super().forward(x, keys, values, mask)


def _hiding(model: Transformer, target: Tensor, pad_id: int) -> Transformer:
    """A view of the model whose decoder masks padding of the target as well."""
    view = own_modules(model)
    for attention in attentions(view, "decoder"):
        change_class(attention, HidesTargetPadding)
        vars(attention)["seen"] = (target != pad_id)[:, None, None, : target.size(1)]
    return view


def logits_of(model: Transformer, pair: Pair, ending: str, hide: int | None = None) -> Array:
    """Our model's logits for a probe, cut to the length of theirs.

    Args:
        ending: "log_softmax" if theirs ends in one: then ours does too.
        hide: the padding id, to mask padding of the target too.
    """
    length = pair.logits.shape[1]
    with torch.no_grad():
        source, target = torch.from_numpy(pair.source.copy()), torch.from_numpy(pair.target.copy())
        if hide is not None:
            model = _hiding(model, target, hide)
        logits = model(source, target)[:, :length]
        if ending == "log_softmax":
            logits = logits.log_softmax(-1)
    return logits.numpy()


def distance(
    model: Transformer, recording: Recording, ending: str, probes: tuple[str, ...] = ()
) -> Distance:
    """How far our logits are from theirs, on all probes or those named; <pad> is not compared."""
    found, absolute = {}, 0.0
    spread = spread_of(recording)
    for name, pair in recording.probes.items():
        if probes and name not in probes:
            continue
        ours = logits_of(model, pair, ending)
        if ours.shape != pair.logits.shape:
            return Distance({name: np.inf}, np.inf)
        real = pair.target[:, : ours.shape[1]] != recording.pad_id
        if not real.any():
            real[:] = True
        largest = _away(ours, pair, real)
        if largest / spread >= EQUAL and not real.all():
            hiding = logits_of(model, pair, ending, recording.pad_id)
            largest = min(largest, _away(hiding, pair, real))
        absolute = max(absolute, largest)
        found[name] = largest / spread
    return Distance(found, absolute)


def _away(ours: Array, pair: Pair, real: Array) -> float:
    with np.errstate(invalid="ignore"):
        away = np.abs(ours - pair.logits)[real]
    return float(np.nan_to_num(away, nan=np.inf).max())


def spread_of(recording: Recording) -> float:
    logits = recording.probes["main"].logits
    finite = logits[np.isfinite(logits)]
    return max(float(finite.std()) if finite.size else 0.0, 1e-9)


class Fingerprints:
    """Fingerprints of all recorded results, to find a value again whatever its layout.

    A fingerprint is three sums that do not depend on the order of the numbers.
    """

    def __init__(self, recording: Recording) -> None:
        self._by_size: dict[int, list[tuple[float, float, float, int]]] = {}
        for event in recording.events:
            if event.sides and event.op != "leaf" and recording.has_value(event.number):
                value = recording.value(event.number)
                if value.dtype == np.float64:
                    self._by_size.setdefault(value.size, []).append((*_sums(value), event.number))

    def find(self, value: Array) -> int | None:
        """The first event whose result has these numbers, in any order."""
        sums = _sums(value)
        size = float(np.abs(value).max()) * value.size + 1e-12
        for *known, number in self._by_size.get(value.size, ()):
            square = size * (float(np.abs(value).max()) + 1e-12)
            limits = (size, square, size)
            if all(abs(a - b) < 1e-7 * m for a, b, m in zip(sums, known, limits, strict=True)):
                return number
        return None


def _sums(value: Array) -> tuple[float, float, float]:
    finite = np.where(np.abs(value) < 1e200, value, 0.0)
    return float(finite.sum()), float((finite**2).sum()), float(np.abs(finite).sum())


@dataclass(frozen=True)
class First:
    """The first value of our model that occurs nowhere in the recording.

    name: its hook point. before: hook point of the last value found in the recording.
    event: where that value was recorded; 0 if none is in common.
    """

    name: str
    before: str
    event: int


def first_difference(
    model: Transformer, recording: Recording, prints: Fingerprints
) -> First | None:
    """Where the models first differ; None if every value of our residual stream is recorded.

    Inside a sub-layer their values may be split differently (head by head). So the residual
    stream decides whether the models differ; values inside then narrow the place down.
    """
    pair = recording.probes["main"]
    with torch.no_grad(), record(model) as trace:
        source, target = torch.from_numpy(pair.source.copy()), torch.from_numpy(pair.target.copy())
        model(source, target)
    values = {name: value.numpy() for name, value in trace.items()}
    found = {name: prints.find(value) for name, value in values.items()}
    names = list(values)
    streams = [n for n in names if n.endswith((".before", ".after")) or n == "logits"]
    bad = next((n for n in streams if found[n] is None), None)
    if bad is None:
        return None
    start = max((names.index(n) for n in streams[: streams.index(bad)]), default=-1) + 1
    inside = names[start : names.index(bad) + 1]
    last = max((i for i, n in enumerate(inside) if found[n] is not None), default=-1)
    name = next(n for n in inside[last + 1 :] if found[n] is None)
    before = inside[last] if last >= 0 else (names[start - 1] if start else "")
    return First(name, before, (found[before] or 0) if before else 0)

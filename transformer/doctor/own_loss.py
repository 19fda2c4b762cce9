"""Checks the user's loss by its values: are they the cross-entropy of the recorded logits, or what
a known mistake makes of it?"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer.doctor.checks import Check
from transformer.doctor.reading import Reading
from transformer.doctor.recording import Array, Recording, require

MALFORMED = "its values of the loss are malformed"
NEAR = 1e-6
"""Losses count as equal below this relative difference: 64 bits, but user code may round more."""
MOST_SMOOTHING = 0.5


@dataclass(frozen=True)
class _Batch:
    """logits: [batch, target, vocabulary]. read: ids that the decoder reads. asked: target ids."""

    logits: Array
    read: Array
    asked: Array


def loss_check(recording: Recording, plain: Mapping[str, Any], reading: Reading | None) -> Check:
    """The check of a loss by its values on the probes.

    Raises:
        CheckpointError: the capture is damaged or forged.
    """
    ending = "" if reading is None else reading.ending
    values, batches = _values(recording, plain)
    name = "Your loss"
    first = next(iter(values.values()))
    pad = recording.pad_id
    for fault, logits_of, asked_of, mask_of in _suspects(ending):
        logs, asked, masks = [], [], []
        for batch in batches.values():
            logits, ids, mask = logits_of(batch.logits), asked_of(batch), mask_of(batch, pad)
            length = ids.shape[1]
            logs.append(_log_softmax(logits[:, :length] if length else logits))
            asked.append(ids)
            masks.append(mask)
        for kind, reduce in REDUCTIONS.items():
            smoothing = _fits(logs, asked, masks, list(values.values()), reduce)
            if smoothing is None:
                continue
            size = recording.logits.shape[-1]
            if not fault:
                said = f"It is the cross-entropy of your logits over real tokens, {kind}"
                said += f", with label smoothing {smoothing:.3g}" if smoothing > 1e-9 else ""
                return Check(name, "ok", f"{said}: {first:.4g} nats on a probe.")
            return Check(name, "problem", _fault_sentence(fault, first, size), fault)
    if math.isclose(first, math.log(recording.logits.shape[-1]), rel_tol=1e-4):
        said = f"It is {first:.4g} whatever the logits are: ln |V|, a uniform guess."
        return Check(name, "problem", said)
    right = _mean(_crosses(_log_softmax(batches["main"].logits), batches["main"].asked, 0.0),
                  np.ones_like(batches["main"].asked, dtype=bool))  # fmt: skip
    return Check(
        name,
        "warning",
        f"It is neither the cross-entropy of your logits nor the result of a known mistake: it is "
        f"{first:.4g} on a probe, where the cross-entropy is {right:.4g}.",
    )


def _fault_sentence(fault: str, value: float, size: int) -> str:
    if fault == "softmax-before-cross-entropy":
        return (
            f"It is the cross-entropy of a softmax of your logits ({value:.4g} nats on a probe): "
            "the softmax is taken twice, so that it cannot fall below ln(1 + (|V| - 1)/e) = "
            f"{math.log1p((size - 1) / math.e):.4g} for {size:,} tokens."
        )
    if fault == "padding-in-loss":
        return "It counts <pad>: on a padded probe it is the cross-entropy over all positions."
    if fault == "targets-not-shifted":
        return "Its targets are the tokens that the decoder reads: target_in instead of target_out."
    return (
        "Each position has to predict the token after the next: the loss shifts the targets again."
    )


def _values(recording: Recording, plain: Any) -> tuple[dict[str, float], dict[str, _Batch]]:
    values, eos = plain.get("values"), plain.get("eos")
    require(isinstance(values, list) and 1 <= len(values) <= 8 and type(eos) is int, MALFORMED)
    found: dict[str, float] = {}
    batches = {}
    for row in values:
        require(isinstance(row, list) and len(row) == 2, MALFORMED)
        require(row[0] in list(recording.probes) and type(row[1]) in (int, float), MALFORMED)
        pair = recording.probes[row[0]]
        found[row[0]] = float(row[1])
        length = pair.logits.shape[1]
        if length < pair.target.shape[1]:  # the model shifts the target itself
            read, asked = pair.target[:, :length], pair.target[:, 1:]
        else:
            read, asked = pair.target, np.full_like(pair.target, recording.pad_id)
            asked[:, :-1] = pair.target[:, 1:]
            last = (pair.target != recording.pad_id).sum(axis=1) - 1
            asked[np.arange(len(asked)), last] = eos
        highest = max(int(read.max()), int(asked.max()))
        sound = highest < pair.logits.shape[-1] and asked.min() >= 0
        require(bool(sound), "the values of the loss are of other probes")
        batches[row[0]] = _Batch(pair.logits, read, asked)
    require("main" in batches, MALFORMED)
    return found, batches


Suspect = tuple[
    str,
    Callable[[Array], Array],
    Callable[[_Batch], Array],
    Callable[[_Batch, int], Array],
]


def _suspects(ending: str) -> Iterator[Suspect]:
    """What a loss may be, the right one first: its fault, and functions that give the logits, the
    targets and the mask that it uses for a batch."""

    def same(logits: Array) -> Array:
        return logits

    def asked(batch: _Batch) -> Array:
        return batch.asked

    def real(batch: _Batch, pad: int) -> Array:
        return batch.asked != pad

    def everything(batch: _Batch, pad: int) -> Array:
        return np.ones_like(batch.asked, dtype=bool)

    plain = np.log if ending == "softmax" else same
    yield "", plain, asked, real
    yield "padding-in-loss", plain, asked, everything
    twice = same if ending == "softmax" else _softmax
    for mask in (real, everything):
        yield "softmax-before-cross-entropy", twice, asked, mask
    yield "targets-not-shifted", plain, lambda b: b.read, lambda b, pad: b.read != pad
    yield "targets-not-shifted", plain, lambda b: b.read, everything
    yield "targets-shifted-twice", plain, lambda b: b.asked[:, 1:], lambda b, p: b.asked[:, 1:] != p


def _mean(costs: Array, mask: Array) -> float:
    return float(costs[mask].mean())


def _sum(costs: Array, mask: Array) -> float:
    return float(costs[mask].sum())


def _by_sentence(costs: Array, mask: Array) -> float:
    return float(costs[mask].sum() / len(costs))


def _over_all(costs: Array, mask: Array) -> float:
    return float(costs[mask].sum() / costs.size)


def _of_means(costs: Array, mask: Array) -> float:
    return float(np.mean([row[keep].mean() for row, keep in zip(costs, mask, strict=True)]))


REDUCTIONS: Mapping[str, Callable[[Array, Array], float]] = {
    "their mean": _mean,
    "their sum": _sum,
    "their sum divided by the sentences": _by_sentence,
    "their sum divided by the number of positions, padding included": _over_all,
    "the mean of the sentences' means": _of_means,
}


def _fits(
    logs: list[Array],
    asked: list[Array],
    masks: list[Array],
    values: list[float],
    reduce: Callable[[Array, Array], float],
) -> float | None:
    """The label smoothing that reproduces all values; None if none does."""
    hard = [reduce(_crosses(a, b, 0.0), m) for a, b, m in zip(logs, asked, masks, strict=True)]
    even = [reduce(_crosses(a, b, 1.0), m) for a, b, m in zip(logs, asked, masks, strict=True)]
    slope = even[0] - hard[0]
    smoothing = (values[0] - hard[0]) / slope if abs(slope) > 1e-12 else 0.0
    if not -1e-6 < smoothing < MOST_SMOOTHING:
        return None
    made = [h + smoothing * (e - h) for h, e in zip(hard, even, strict=True)]
    near = all(abs(a - b) < NEAR * (1 + abs(b)) for a, b in zip(made, values, strict=True))
    return max(0.0, smoothing) if near else None


def _crosses(logs: Array, asked: Array, smoothing: float) -> Array:
    """The cross-entropy of each position, [batch, target]."""
    hard = -np.take_along_axis(logs, asked[..., None], axis=-1)[..., 0]
    if not smoothing:
        return hard
    return (1 - smoothing) * hard - smoothing * logs.mean(axis=-1)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: Array = powers / powers.sum(axis=-1, keepdims=True)
    return found


def _log_softmax(logits: Array) -> Array:
    moved = logits - logits.max(axis=-1, keepdims=True)
    found: Array = moved - np.log(np.exp(moved).sum(axis=-1, keepdims=True))
    return found

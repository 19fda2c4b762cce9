"""Checks the data flow between parts: each should read the output of the part before it."""

from dataclasses import dataclass

import numpy as np

from transformer.doctor.attentions import Attention
from transformer.doctor.reading import Layer, Reading


@dataclass(frozen=True)
class Detour:
    """A part that reads another vector than it should. event: the operation that reads it.

    sure: what it reads was computed before what it should read, so it cannot depend on it.
    """

    where: str
    sentence: str
    event: int
    sure: bool = True


def detours(reading: Reading) -> list[Detour]:
    """The first detour in each stack, in cross-attention and at the output, in forward order."""
    found = []
    for stack, layers, stream in (
        ("encoder", reading.encoder, reading.source.stream),
        ("decoder", reading.decoder, reading.target.stream),
    ):
        entry = reading.source.norm if stack == "encoder" else reading.target.norm
        detour = _stack(stack, layers, stream if entry is None else entry.after)
        if detour is not None:
            found.append(detour)
        if stack == "encoder" and (memory := _memory(reading)) is not None:
            found.append(memory)
    end = _output(reading)
    if end is not None:
        found.append(end)
    return found


def _stack(stack: str, layers: list[Layer], before: int) -> Detour | None:
    entry = before
    for number, layer in enumerate(layers):
        began = before
        for sub in layer.sublayers:
            if sub.sum_problem == "normalised":
                where = f"{stack} layer {number} {sub.kind}"
                said = "Its output is normalised before it is added: x + norm(f(x))."
                return Detour(where, said, sub.part.end)
            if sub.stream != before:
                what = {entry: "the stack's input", began: "the layer's own input"}
                said = what.get(sub.stream, "another vector")
                where = f"{stack} layer {number} {sub.kind}"
                event = sub.part.first
                said = f"It reads {said}, not the output of the part before it."
                return Detour(where, said, event, sub.stream < before)
            if sub.residual and sub.sum_problem == "other":
                where = f"{stack} layer {number} {sub.kind}"
                said = "The vector added to its output is not its input."
                return Detour(where, said, sub.sum_event, sub.added_event < sub.stream)
            before = sub.after
    return None


def _memory(reading: Reading) -> Detour | None:
    end = reading.encoder[-1].sublayers[-1].after
    given = {end, reading.encoder_norm.after if reading.encoder_norm else end}
    for number, layer in enumerate(reading.decoder):
        cross = layer.sublayers[1].part
        assert isinstance(cross, Attention)
        for name in ("key", "value"):
            affine = getattr(cross, name)
            if affine.event not in given:
                return Detour(
                    f"decoder layer {number} cross-attention",
                    f"Its {name}s are not computed from the encoder's output.",
                    cross.first,
                    affine.event < max(given),
                )
    return None


def _output(reading: Reading) -> Detour | None:
    end = reading.decoder[-1].sublayers[-1].after
    given = {end, reading.decoder_norm.after if reading.decoder_norm else end}
    if reading.output.event in given:
        return None
    said = (
        "the decoder's input" if reading.output.event == reading.target.stream else "another vector"
    )
    return Detour(
        "output projection",
        f"It reads {said}, not the last decoder layer's output.",
        reading.output.events[0],
        reading.output.event < max(given),
    )


def hidden_keys(reading: Reading, name: str) -> str:
    """A sentence on the mask that zeros among an attention's weights reveal; "" if none.

    Args:
        name: a hook point of ours, such as ``decoder.layers.0.cross_attention.weights``.
    """
    parts = name.split(".")
    if len(parts) < 4 or parts[-1] != "weights":
        return ""
    layers = reading.encoder if parts[0] == "encoder" else reading.decoder
    kind = parts[3].replace("_", "-")
    part = next(s.part for s in layers[int(parts[2])].sublayers if s.kind == kind)
    assert isinstance(part, Attention)
    pair = part.product_pairs[0]
    weights = reading.graph.recording.at(reading.graph.recording.codes(pair.mixed.reads[-2]))
    if weights.ndim != 3 or weights.shape[1:] != (pair.queries.shape[1], pair.keys.shape[1]):
        return ""
    hidden = (weights < 1e-12).all(axis=0)
    later = np.triu(np.ones_like(hidden), 1)
    if hidden.any() and kind == "cross-attention" and (hidden == later).all():
        return "It has a look-ahead mask: position i sees no source token after the i-th."
    if hidden.any() and parts[0] == "encoder" and (hidden == later).all():
        return "The encoder has a causal mask: no token sees those after it."
    if hidden.any():
        return (
            f"{int(hidden.sum())} of {hidden.size} pairs of positions are hidden without padding."
        )
    sums = weights.sum(axis=-1)
    if np.abs(sums - 1).max() > 1e-6:
        span = f"{sums.min():.3g} to {sums.max():.3g}"
        return f"The weights of a query sum to values from {span}, not to 1."
    return ""

"""Where a fault is found: in the model, in the paper's figure, and in the user's code."""

from dataclasses import dataclass

from transformer.doctor.attentions import Attention
from transformer.doctor.reading import Network, Reading
from transformer.doctor.recording import Site
from transformer.faults import FAULTS
from transformer.figures.architecture import Highlight


@dataclass(frozen=True)
class Place:
    """A place in the model, in words, and the line of the user's code."""

    name: str
    site: Site | None


SELF, CROSS, NETWORK = "self-attention", "cross-attention", "feed-forward"
PART_NAMES = {"mixed": "heads", "sum": "residual", "hidden": "activation"}
"""Part -> its usual name, where that differs."""
PLACE_OF_FAMILY = {
    "causal mask": ("decoder", SELF, "softmax"),
    "padding mask": ("encoder", SELF, "softmax"),
    "mask value": ("encoder", SELF, "softmax"),
    "softmax": ("encoder", SELF, "softmax"),
    "scores": ("encoder", SELF, "scores"),
    "heads": ("encoder", SELF, "mixed"),
    "attention": ("encoder", SELF, "scores"),
    "cross-attention": ("decoder", CROSS, "scores"),
    "residual": ("encoder", SELF, "sum"),
    "norms": ("encoder", SELF, "norm"),
    "feed-forward": ("encoder", NETWORK, "hidden"),
    "positions": ("encoder", "embedding", ""),
    "embeddings": ("encoder", "embedding", ""),
    "layers": ("encoder", SELF, "scores"),
    "output": ("decoder", "output", ""),
    "mode": ("encoder", "embedding", ""),
}
"""Family of faults -> the stack, the kind of sub-layer and the part where they are found."""
BOX_OF_FAMILY = {
    "causal mask": Highlight("decoder.self", "its mask"),
    "padding mask": Highlight("encoder.self", "its mask"),
    "mask value": Highlight("encoder.self", "its mask"),
    "softmax": Highlight("encoder.self", "its softmax"),
    "scores": Highlight("encoder.self", "its scores"),
    "heads": Highlight("encoder.self", "its heads"),
    "attention": Highlight("encoder.self", "queries, keys, values"),
    "cross-attention": Highlight("decoder.cross", "its keys and values"),
    "residual": Highlight("encoder.self.residual", "what is added"),
    "norms": Highlight("encoder.self.norm", "the norm"),
    "feed-forward": Highlight("encoder.feed-forward", "its activation"),
    "positions": Highlight("source.positions", "positions"),
    "embeddings": Highlight("source", "times √d_model"),
    "layers": Highlight("encoder.self", "what it reads"),
    "output": Highlight("output.softmax", "softmax"),
}
BOX_OF_FAULT = {
    "no-cross-padding-mask": Highlight("decoder.cross", "its mask"),
    "output-projection-unused": Highlight("encoder.self", "its projection W^O"),
    "norm-after-embeddings": Highlight("source.positions", "a norm after them"),
}
BOX_OF_VALUE = {
    "before": "what it reads",
    "after": "what it gives",
    "weights": "its weights",
    "head_outputs": "its heads",
}
"""The last three: boxes of the paper's figure 1 and their labels, by family, fault and value."""
PLACE_OF_FAULT = {
    "no-cross-padding-mask": ("decoder", CROSS, "softmax"),
    "norm-after-embeddings": ("encoder", "embedding", ""),
    "output-projection-unused": ("encoder", SELF, "mixed"),
    "heads-split-by-view": ("encoder", SELF, "scores"),
}
"""Faults that are found elsewhere than the rest of their family."""


def box_of(fault: str, where: str) -> Highlight | None:
    """The box of the paper's figure to which a departure belongs, if one is known.

    Args:
        fault: a name of FAULTS, or any other text.
        where: the place in our model, in words or as a hook point's name.
    """
    words = where.replace("_", "-")
    stack = next((stack for stack in ("encoder", "decoder") if words.startswith(stack)), "")
    kinds = {NETWORK: "feed-forward", CROSS: "cross", SELF: "self"}
    kind = next((short for long, short in kinds.items() if long in words), "")
    if fault in FAULTS:
        box = BOX_OF_FAULT.get(fault) or BOX_OF_FAMILY.get(FAULTS[fault].family)
        if box is None or not kind or box.place.split(".")[0] not in ("encoder", "decoder"):
            return box
        return Highlight(".".join([stack, kind, *box.place.split(".")[2:]]), box.said)
    if not stack:
        return Highlight("output", "the logits") if words.startswith(("output", "logits")) else None
    value = where.rpartition(".")[2]
    said = BOX_OF_VALUE.get(value) or (f"its {value}" if "." in where else "what it reads")
    return Highlight(f"{stack}.{kind}", said) if kind else None


def place_of(fault: str, reading: Reading, scope: str = "") -> Place:
    """The first place in the user's model where this fault takes effect.

    Args:
        scope: "encoder" or "decoder", if only that stack has it.
    """
    family = FAULTS[fault].family
    stack, kind, part = PLACE_OF_FAULT.get(fault) or PLACE_OF_FAMILY.get(family, ("", "", ""))
    stack = scope if scope and kind in (SELF, NETWORK) else stack
    recording = reading.recording
    if kind == "embedding":
        event = reading.source.stream
        if fault == "norm-after-embeddings" and reading.source.norm is not None:
            event = reading.source.norm.after
        return Place("embeddings", recording.site(event))
    if kind == "output":
        event = reading.ending_event or reading.output.events[0]
        return Place("output", recording.site(event))
    if fault == "residual-after-norm":
        for name, layers in (("encoder", reading.encoder), ("decoder", reading.decoder)):
            for found in (s for layer in layers for s in layer.sublayers):
                if found.placement == "after":
                    return Place(f"{name} {found.kind}, residual", recording.site(found.sum_event))
    layers = reading.encoder if stack == "encoder" else reading.decoder
    subs = [s for s in layers[0].sublayers if s.kind == kind]
    if not subs:
        return Place("whole model", None)
    sub = subs[0]
    event = 0
    if isinstance(sub.part, Attention):
        pair = sub.part.product_pairs[0]
        softmax = pair.softmax.number if pair.softmax is not None else pair.mixed.number
        events = {"softmax": softmax, "scores": pair.scores.number, "mixed": pair.mixed.number}
        events["mixed"] = sub.part.output_event or pair.mixed.number
        event = events.get(part, 0)
    elif isinstance(sub.part, Network):
        event = sub.part.hidden.number
    if part == "sum":
        event = sub.sum_event
    if part == "norm":
        event = sub.norm.after if sub.norm is not None else sub.sum_event
    name = f"{stack} {kind}"
    said = PART_NAMES.get(part, part)
    return Place(f"{name}, {said}" if said else name, recording.site(event))

"""Departures, and those that show in parameters, gradients or repetition rather than in logits."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer.doctor.places import place_of
from transformer.doctor.reading import Reading
from transformer.doctor.recording import Site

KEY = re.compile(r"(^|[._])(w_?)?(k|key|keys)([._]|_?(proj|linear|layer|net|map|fc|lin|w)|s?$)")
VALUE = re.compile(
    r"(^|[._])(w_?)?(v|val|value|values)([._]|_?(proj|linear|layer|net|map|fc|lin|w)|s?$)"
)


@dataclass(frozen=True)
class Departure:
    """One way in which the model is not the paper's.

    fault: a name of FAULTS, or "other". where: a place in the model. site: the person's line.
    certainty: "proven": our model with this planted gives the same logits; else "likely".
    evidence: what speaks for it, in a sentence or two.
    """

    fault: str
    where: str
    certainty: str
    evidence: str
    harmless: bool = False
    site: Site | None = None


def told(reading: Reading) -> list[Departure]:
    """Faults that show in parameters, gradients or repetition rather than in logits."""
    recording = reading.recording
    found = []
    if not recording.repeats:
        found.append(
            Departure(
                "dropout-in-eval",
                "whole model",
                "proven",
                "In evaluation mode two calls with the same ids give different logits; without "
                "dropout they do not.",
                site=place_of("dropout-in-eval", reading).site,
            )
        )
    shared = _shared(reading)
    if shared:
        found.append(
            Departure(
                "shared-layers",
                shared,
                "proven",
                f"All layers of the {shared} read the same parameters.",
                site=place_of("shared-layers", reading).site,
            )
        )
    swapped = _swapped(reading)
    if swapped:
        keys, values = swapped
        found.append(
            Departure(
                "keys-values-swapped",
                "all attentions",
                "proven",
                f"{keys} makes what is mixed, {values} what queries are compared with. The "
                "function is the same; with weights from elsewhere it is not.",
                site=place_of("keys-values-swapped", reading).site,
            )
        )
    cut = _cut(reading)
    if cut:
        found.append(
            Departure(
                "memory-detached",
                "encoder",
                "proven",
                f"The logits depend on the encoder, and no gradient reaches it ({cut}).",
                site=place_of("memory-detached", reading).site,
            )
        )
    return found


def _shared(reading: Reading) -> str:
    """The stack ("encoder", "decoder" or both) whose layers have the same parameters."""
    found = []
    for name, layers in (("encoder", reading.encoder), ("decoder", reading.decoder)):
        parts: list[Any] = [layer.sublayers[0].part for layer in layers]
        leaves = [part.query.parameters for part in parts]
        if len(layers) > 1 and leaves[0] and len(set(leaves)) == 1:
            found.append(name)
    return " and ".join(found)


def _swapped(reading: Reading) -> tuple[str, str] | None:
    """Names of parameters that say keys where values are made, and the other way round."""
    events = reading.graph.events
    for sublayer in reading.sublayers:
        part = sublayer.part
        key, value = getattr(part, "key", None), getattr(part, "value", None)
        if key is None or value is None or not key.parameters or not value.parameters:
            return None
        keys = [events[p].name.split(":")[-1].removesuffix(".weight") for p in key.parameters]
        values = [events[p].name.split(":")[-1].removesuffix(".weight") for p in value.parameters]
        names = (keys[0].rsplit(".", 2)[-1], values[0].rsplit(".", 2)[-1])
        crossed = VALUE.search(names[0]) and KEY.search(names[1])
        if crossed and not KEY.search(names[0]) and not VALUE.search(names[1]):
            return values[0], keys[0]
        return None
    return None


def _cut(reading: Reading) -> str:
    """A parameter of the encoder that no gradient reaches though the logits depend on it."""
    recording = reading.recording
    gradients = {p["event"]: p for p in recording.parameters if p["event"]}
    query = getattr(reading.encoder[0].sublayers[0].part, "query", None)
    cross = getattr(reading.decoder[0].sublayers[1].part, "key", None)
    if query is None or cross is None or not query.parameters or not cross.parameters:
        return ""
    first, last = gradients.get(query.parameters[0]), gradients.get(cross.parameters[0])
    if first is None or last is None:
        return ""
    other = recording.probes.get("source")
    main = recording.probes["main"]
    depends = other is None or bool(np.abs(other.logits - main.logits).max() > 0)
    if first["gradient"] == "no" and last["gradient"] == "yes" and depends:
        return str(first["name"])
    return ""

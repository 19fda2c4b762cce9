"""Departures from the paper, and the search for those that the logits do not show."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer.doctor.attentions import Attention
from transformer.doctor.fault_places import place_of
from transformer.doctor.reading import Reading
from transformer.doctor.recording import Site


def _called(words: str, letter: str) -> re.Pattern[str]:
    """A pattern for the names of a projection, such as w_k, WK, key_proj, to_k, linK."""
    ending = r"([._]|_?(proj|linear|layer|net|map|fc|lin|w)|s?$)"
    return re.compile(rf"(^|[._])(?i:(w_?)?({words})){ending}|[a-z0-9]{letter}$")


ROWS = ("queries", "keys", "values")
QUERY = _called("q|query|queries", "Q")
KEY = _called("k|key|keys", "K")
VALUE = _called("v|val|value|values", "V")


@dataclass(frozen=True)
class Departure:
    """One way in which the model is not the paper's.

    fault: a name of FAULTS, or "other". where: a place in the model. site: the user's line.
    certainty: "proven" (our model with this fault planted gives the same logits) or "likely".
    evidence: the reasons, in a sentence or two.
    """

    fault: str
    where: str
    certainty: str
    evidence: str
    harmless: bool = False
    site: Site | None = None


def beyond_logits(reading: Reading) -> list[Departure]:
    """Faults that show in parameters, gradients or repeated calls rather than in the logits."""
    recording = reading.recording
    found = []

    def add(
        fault: str, where: str, evidence: str, place: str = "", *, harmless: bool = False
    ) -> None:
        site = place_of(place or fault, reading).site
        found.append(Departure(fault, where, "proven", evidence, harmless, site))

    if not recording.repeats:
        add(
            "dropout-in-eval",
            "whole model",
            "In evaluation mode two calls with the same ids give different logits; without "
            "dropout they do not.",
        )
    if shared := _shared(reading):
        add("shared-layers", shared, f"All layers of the {shared} read the same parameters.")
    elsewhere = "With your weights the result is the same; with weights from elsewhere it is not."
    if swapped := _swapped(reading, "key", "value", (KEY, VALUE)):
        keys, values, where = swapped
        said = f"{keys} makes the values, {values} the keys. {elsewhere}"
        add("keys-values-swapped", where, said)
    if swapped := _swapped(reading, "query", "key", (QUERY, KEY)):
        keys, queries, where = swapped
        said = f"{queries} makes the keys, {keys} the queries. {elsewhere}"
        add("other", where, said, "keys-values-swapped", harmless=True)
    if twice := _twice(reading):
        where, used, spare, site = twice
        said = f"{used} is used a second time here, and {spare} is never used."
        found.append(Departure("other", where, "proven", said, False, site))
    if cut := _cut(reading):
        said = f"The logits depend on the encoder, but no gradient reaches it ({cut})."
        add("memory-detached", "encoder", said)
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


def _swapped(
    reading: Reading, one: str, other: str, called: tuple[re.Pattern[str], re.Pattern[str]]
) -> tuple[str, str, str] | None:
    """Two projections with swapped names: each is named after the role of the other one.

    Args:
        one, other: "query", "key" or "value". called: patterns of their names.

    Returns:
        the parameter that plays ``other``, the one that plays ``one``, and in which attentions.
    """
    events = reading.graph.events
    for sublayer in reading.sublayers:
        part = sublayer.part
        left, right = getattr(part, one, None), getattr(part, other, None)
        if left is None or right is None or not left.parameters or not right.parameters:
            continue
        lefts = [events[p].name.split(":")[-1].removesuffix(".weight") for p in left.parameters]
        rights = [events[p].name.split(":")[-1].removesuffix(".weight") for p in right.parameters]
        names = (lefts[0].rsplit(".", 2)[-1], rights[0].rsplit(".", 2)[-1])
        crossed = called[1].search(names[0]) and called[0].search(names[1])
        if crossed and not called[0].search(names[0]) and not called[1].search(names[1]):
            first = sublayer is reading.sublayers[0]
            return rights[0], lefts[0], "all attentions" if first else sublayer.kind
    return None


def _twice(reading: Reading) -> tuple[str, str, str, Site | None] | None:
    """A norm that is used twice in a layer while another norm beside it is never used.

    Returns:
        the place, the name of the parameter used twice, of the unused one, and the line.
    """
    recording, events = reading.recording, reading.graph.events
    idle = {p["name"]: p["shape"] for p in recording.parameters if p["gradient"] == "no"}
    for stack, layers in (("encoder", reading.encoder), ("decoder", reading.decoder)):
        for number, layer in enumerate(layers):
            seen: set[int] = set()
            for sub in layer.sublayers:
                leaves = set() if sub.norm is None else set(sub.norm.parameters)
                names = [events[leaf].name.split(":")[-1] for leaf in sorted(leaves & seen)]
                seen |= leaves
                for name in names:
                    near = name.rsplit(".", 2)[0]
                    spare = [o for o, s in idle.items() if o.rsplit(".", 2)[0] == near]
                    if spare and sub.norm is not None:
                        site = recording.site(sub.norm.after)
                        return f"{stack} layer {number} {sub.kind}, norm", name, spare[0], site
    return None


def _cut(reading: Reading) -> str:
    """An encoder parameter that no gradient reaches, though logits depend on the encoder; or ""."""
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


def split_heads(reading: Reading) -> Departure | None:
    """The first attention in which a head's rows are not one sentence's positions in order."""
    for stack, layers in (("encoder", reading.encoder), ("decoder", reading.decoder)):
        for sub in (sub for layer in layers for sub in layer.sublayers):
            part = sub.part
            if not isinstance(part, Attention) or "batch" in part.heads_as_in_paper:
                continue
            askew = [name for name in ROWS if name not in part.heads_as_in_paper]
            if askew:
                said = (
                    f"The rows of a head's {' and '.join(askew)} are not the positions of one "
                    "sentence in order: heads are split by a reshape over the wrong axes."
                )
                site = reading.recording.site(part.product_pairs[0].scores.number)
                where = f"{stack} {sub.kind}, scores"
                return Departure("heads-split-by-view", where, "likely", said, False, site)
    return None


def why_harmless(reading: Reading) -> str:
    """Why token vectors are large enough beside positions without √d_model; "" if they are not."""
    spread = float(reading.source.tokens.std())
    if 0.4 < spread < 2.5:
        return f"Your embeddings have a standard deviation of {spread:.2g}, so nothing is lost."
    positions = reading.source.positions
    beside = float(positions.added.std())
    if positions.learned and spread > beside / 2:
        return (
            f"Your positions are learned. Their standard deviation is {beside:.2g}, the tokens' "
            f"{spread:.2g}, so nothing is lost."
        )
    return ""

"""The verdict on a recording: which faults, planted in our model, make it compute the same?"""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from transformer.doctor.checks import Check, checks_of
from transformer.doctor.comparison import (
    EQUAL,
    Distance,
    Fingerprints,
    First,
    distance,
    first_difference,
)
from transformer.doctor.departures import Departure, beyond_logits, split_heads, why_harmless
from transformer.doctor.fault_places import place_of
from transformer.doctor.flow import Detour, detours, hidden_keys
from transformer.doctor.graph import TooLong
from transformer.doctor.input_layers import Unmapped
from transformer.doctor.practice import practice_of
from transformer.doctor.reading import Reading, read
from transformer.doctor.recording import Recording, Site
from transformer.doctor.reference import Reference, build
from transformer.errors import ConfigError
from transformer.faults import FAULTS, IN_MODEL, plant
from transformer.hooks import own_modules
from transformer.model import Decoder, Encoder, LayerNorm, ResidualConnection, Transformer

NOT_READABLE = (AssertionError, AttributeError, IndexError, KeyError, OverflowError, RuntimeError,
                TypeError, ValueError, ZeroDivisionError)  # fmt: skip
"""Errors that reading may raise on operations it does not know, or on a forged file."""
VALUE_FAULTS = ("causal mask", "padding mask", "mask value", "softmax", "heads-split-by-view",
            "heads-merged-by-view", "batch-time-swapped")  # fmt: skip
"""Families and names of faults that only show in values: the search plants these to try them. All
others are read off the operations."""
DEPTH = 2
"""Most faults that the search plants in addition to those that the reading shows."""


@dataclass
class Diagnosis:
    """The result of a diagnosis.

    verdict: "equal", "departs" or "unknown".
    first: where values first differ between their model and the paper's with the same weights.
    mapping: role -> the parameters that play it.
    problem: why their model could not be mapped or reproduced, if so. problem_site: the line.
    """

    recording: Recording
    verdict: str = "unknown"
    departures: list[Departure] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)
    distance: Distance | None = None
    first: First | None = None
    problem: str = ""
    problem_site: Site | None = None
    reading: Reading | None = None
    reference: Reference | None = None
    model: Transformer | None = None


def diagnose(recording: Recording) -> Diagnosis:
    """Compare a recording with the paper.

    Raises:
        CheckpointError: it takes too long, or the recorded loss, optimizer or decoding is damaged
            or forged.
    """
    found = _of_model(recording)
    practice = practice_of(recording, found.reading, found.model)
    found.checks += practice.checks
    found.departures += practice.departures
    if practice.departures:
        found.verdict = "departs"
    return found


def _of_model(recording: Recording) -> Diagnosis:
    """The diagnosis of the model itself, without loss, optimizer and decoding."""
    found = Diagnosis(recording, checks=checks_of(recording))
    try:
        found.reading = read(recording)
        found.reference = build(found.reading)
    except Unmapped as problem:
        found.problem = str(problem)
        found.problem_site = _site_near(recording, problem.event)
        if problem.where:
            found.departures.append(
                Departure(
                    "other", problem.where, "likely", found.problem, False, found.problem_site
                )
            )
            found.verdict = "departs"
        if "cross-attention" not in problem.where:  # else the checks only see its consequences
            _by_checks(found)
        return found
    except TooLong:
        raise
    except NOT_READABLE as error:
        logging.getLogger(__name__).info("a capture could not be read", exc_info=error)
        found.problem = "The operations could not be read as those of a Transformer."
        _by_checks(found)
        return found
    found.choices = list(found.reference.choices)
    if found.reading.ending == "log_softmax":
        found.choices.append("returns log-probabilities: the logits up to a constant per row")
    if "flattened" in recording.about["layout"]:
        found.choices.append("returns logits flattened to [batch · target, vocabulary]")
    if "dropped" in recording.about["layout"]:
        found.choices.append("shifts the target inside the model")
    found.mapping = _mapping(found.reading)
    try:
        _judge(found)
    except TooLong:
        raise
    except NOT_READABLE as error:
        logging.getLogger(__name__).info("a capture could not be compared", exc_info=error)
        found.verdict, found.departures = "unknown", []
        found.problem = "Our model with your weights could not be run on your probes."
        _by_checks(found)
    return found


def _judge(found: Diagnosis) -> None:
    reading, reference, recording = found.reading, found.reference, found.recording
    assert reading is not None
    assert reference is not None
    hidden = beyond_logits(reading)
    shown = [name for name in reference.shown if name in IN_MODEL]
    shown += ["output-softmaxed"] if reading.ending == "softmax" else []
    others = detours(reading)
    # If data flow differs from the paper's, no planted fault explains it, except these.
    flows = {"layers-reuse-input", "cross-attention-reads-decoder", "no-residual"} & set(shown)
    search = not others or bool(flows) or "residual-after-norm" in shown
    names, away = _reproduced(reference, recording, reading.ending, shown, search)
    found.distance = away
    proven = away.equal
    if proven:
        faulty = planted(reference, names)
        assert faulty is not None
        found.model = faulty
        ordered = sorted(names, key=list(FAULTS).index)
        found.departures += [_departure(found, name, "proven", shown) for name in ordered]
    found.departures += hidden
    if not proven:
        base = planted(reference, shown) or reference.model
        found.first = first_difference(base, recording, Fingerprints(recording))
        _unproven(found, shown, others)
    if reference.positions and all(d.fault != "positions-wrong-formula" for d in found.departures):
        certainty = "proven" if proven and "another formula:" in reference.positions else "likely"
        site = place_of("positions-wrong-formula", reading).site
        found.departures.append(
            Departure(
                "positions-wrong-formula", "embeddings", certainty, reference.positions, False, site
            )
        )
    if found.departures:
        found.verdict = "departs"
    elif proven:
        found.verdict = "equal"
    else:
        found.verdict = "unknown"


# --- planting -------------------------------------------------------------------------------------


def planted(reference: Reference, names: list[str]) -> Transformer | None:
    """A view of the reference with these faults, in the modules where the reading found them; None
    if its configuration cannot have one of them."""
    faulty = own_modules(reference.model)
    try:
        plant(faulty, *names)
    except ConfigError:
        return None
    for module in faulty.modules():
        right = isinstance(module, LayerNorm) and not vars(module).get("kinds", True)
        if right and any(name.startswith("layer-norm-") for name in names):
            module.__class__ = LayerNorm  # theirs is correct here
        right = isinstance(module, ResidualConnection) and not vars(module).get("adds_late", True)
        if right and "residual-after-norm" in names and "no-residual" not in names:
            module.__class__ = ResidualConnection
    if "layers-reuse-input" in names and reference.reused == ["decoder"]:
        faulty.encoder.__class__ = Encoder
    if "layers-reuse-input" in names and reference.reused == ["encoder"]:
        faulty.decoder.__class__ = Decoder
    if reference.scope:
        other = "decoder" if reference.scope == "encoder" else "encoder"
        setattr(faulty, other, getattr(own_modules(reference.model), other))
    return faulty


def _reproduced(
    reference: Reference, recording: Recording, ending: str, shown: list[str], search: bool
) -> tuple[list[str], Distance]:
    """The fewest faults that make our logits equal to theirs: planted in both stacks or in one."""
    kept: list[tuple[list[str], Distance]] = []
    for scope in ("", "encoder", "decoder"):
        reference.scope = scope
        depth = (1 if scope else DEPTH) if search else 0
        kept.append(_found(reference, recording, ending, shown, depth))
        if kept[-1][1].equal:
            return kept[-1]
    reference.scope = ""
    return kept[0]


def _found(
    reference: Reference, recording: Recording, ending: str, shown: list[str], depth: int
) -> tuple[list[str], Distance]:
    """The fewest faults that make our logits equal to theirs, first those that the reading shows.

    Returns:
        the faults and the distance left; no faults and the distance without any if none suffice.
    """

    def away(names: list[str], probes: tuple[str, ...] = ()) -> Distance:
        faulty = planted(reference, names)
        if faulty is None:
            return Distance({"main": np.inf}, np.inf)
        try:
            return distance(faulty, recording, ending, probes)
        except (RuntimeError, IndexError, ValueError):
            return Distance({"main": np.inf}, np.inf)

    first = away([])
    if first.equal:
        return [], first
    start = away(shown) if shown else first
    if start.equal:
        return _needed(shown, away), start
    prints = Fingerprints(recording)
    level: list[list[str]] = [shown]
    for step in range(depth):
        tried: list[tuple[float, float, list[str]]] = []
        for names in level:
            for name, fault in IN_MODEL.items():
                if name in names or not (fault.family in VALUE_FAULTS or name in VALUE_FAULTS):
                    continue
                both = [*names, name]
                quick = away(both, ("main",))
                if quick.equal:
                    whole = away(both)
                    if whole.equal:
                        return _needed(both, away), whole
                    tried.append((-1.0, whole.largest, both))
                elif quick.largest < np.inf:
                    tried.append((0.0, quick.largest, both))
        if step + 1 < depth:
            level = _farthest(reference, recording, prints, tried)
    return [], first


def _needed(names: list[str], away: Any) -> list[str]:
    """Remove the faults without which the logits stay equal."""
    needed = list(names)
    for name in names:
        rest = [other for other in needed if other != name]
        if away(rest).equal:
            needed = rest
    return needed


def _farthest(
    reference: Reference,
    recording: Recording,
    prints: Fingerprints,
    tried: list[tuple[float, float, list[str]]],
) -> list[list[str]]:
    """The two sets of faults with which our model agrees with the recording for longest: the most
    promising for trying one more fault."""
    scored = []
    for exact, rest, names in tried:
        faulty = planted(reference, names)
        if faulty is None:
            continue
        if exact < 0:
            scored.append((-10_000, rest, names))
            continue
        try:
            first = first_difference(faulty, recording, prints)
        except RuntimeError:
            continue
        scored.append((-10_000 if first is None else -first.event, rest, names))
    return [names for _, _, names in sorted(scored, key=lambda item: item[:2])[:2]]


# --- words ----------------------------------------------------------------------------------------


def _departure(found: Diagnosis, name: str, certainty: str, shown: list[str]) -> Departure:
    reading, fault, reference = found.reading, FAULTS[name], found.reference
    assert reading is not None
    assert reference is not None
    place = place_of(name, reading, _scope(reference, name))
    assert found.distance is not None
    alone = f"the {reference.scope} of " if reference.scope else ""
    evidence = (
        f"Planted in {alone}our model with your weights, it gives your logits on all "
        f"{len(found.distance.by_probe)} probes, within {found.distance.largest:.1e} of their "
        "spread."
    )
    if name == "unscaled-embeddings" and (unhurt := why_harmless(reading)):
        evidence += f" {unhurt}"
        return Departure(name, place.name, certainty, evidence, True, place.site)
    return Departure(name, place.name, certainty, evidence, fault.harmless, place.site)


def _scope(reference: Reference, name: str) -> str:
    """The only stack that has a fault; "" if both may have it."""
    if name == "layers-reuse-input" and len(reference.reused) == 1:
        return reference.reused[0]
    return reference.scope


def _unproven(found: Diagnosis, shown: list[str], others: list[Detour]) -> None:
    """Add the likely departures, if no planted faults reproduce the logits."""
    reading, first, reference = found.reading, found.first, found.reference
    assert reading is not None
    assert reference is not None
    assert found.distance is not None
    broken = [check for check in found.checks if check.alarm and check.fault]
    # If logits are not computed from the decoder's output, it follows that they ignore the source.
    cut = next((detour for detour in others if detour.where == "output projection"), None)
    if cut is not None:
        broken = [check for check in broken if check.fault != "cross-attention-reads-decoder"]
    askew = split_heads(reading) if "heads-split-by-view" not in shown else None
    if askew is not None:
        # Other positions and sentences leak in: what the checks see is a consequence.
        found.departures.append(askew)
        broken = []
    if found.distance.largest > EQUAL and _with_padding_alone(found.distance):
        broken = []
        found.departures.append(_hides_otherwise(reading))
    names = dict.fromkeys([*shown, *(check.fault for check in broken)])
    for name in names:
        if name in FAULTS:
            place = place_of(name, reading, _scope(reference, name))
            evidence = next((c.sentence for c in broken if c.fault == name), "")
            evidence = evidence or "Your operations show it, and something else differs too."
            unhurt = why_harmless(reading) if name == "unscaled-embeddings" else ""
            harmless = FAULTS[name].harmless or bool(unhurt)
            evidence += f" {unhurt}" if unhurt else ""
            found.departures.append(
                Departure(name, place.name, "likely", evidence, harmless, place.site)
            )
    flows = {"layers-reuse-input", "cross-attention-reads-decoder", "residual-after-norm"}
    told_of = ([] if cut is None else [cut]) if flows & set(names) else others[:1]
    for detour in told_of:
        site = _site_near(found.recording, detour.event)
        if not detour.sure:  # an unknown operation may compute the one from the other
            continue
        found.departures.append(
            Departure("other", detour.where, "likely", detour.sentence, False, site)
        )
    if first is not None:
        said = hidden_keys(reading, first.name) if not others else ""
        if said:
            site = _site_near(found.recording, first.event)
            where = first.name.rpartition(".")[0]
            found.departures.append(Departure("other", where, "likely", said, False, site))
        found.problem = (
            f"With your weights the paper's model gives other values from {first.name} on"
            f"{f', after {first.before}' if first.before else ''}."
        )
        found.problem_site = _site_near(found.recording, first.event)


def _hides_otherwise(reading: Reading) -> Departure:
    """The departure of a model that equals the paper's except where something is padded."""
    place = place_of("no-source-padding-mask", reading)
    if not np.isfinite(reading.recording.probes["padded"].logits).all():
        said = (
            "Without padding your logits equal the paper's, with padding they are NaN: whole rows "
            "of scores are masked with -inf, and their softmax is 0/0. The mask hides padding on "
            "the query axis, in the attention of the encoder or of the decoder."
        )
        name = "padding-mask-on-queries"
        return Departure(name, place.name, "likely", said, False, place.site)
    said = (
        "Without padding your logits equal the paper's, with padding they do not, and a missing "
        "mask does not explain it: the mask hides the wrong keys, such as another sentence's if "
        "it is repeated for the heads in another order."
    )
    return Departure("other", "encoder self-attention.mask", "likely", said, False, place.site)


def _with_padding_alone(away: Distance) -> bool:
    """Whether only the probe with padding differs."""
    return all((share < EQUAL) == (name != "padded") for name, share in away.by_probe.items())


def _by_checks(found: Diagnosis) -> None:
    for check in found.checks:
        if check.alarm and check.fault in FAULTS:
            found.departures.append(
                Departure(
                    check.fault, "unknown", "likely", check.sentence, FAULTS[check.fault].harmless
                )
            )
    if found.departures:
        found.verdict = "departs"


def _site_near(recording: Recording, event: int) -> Site | None:
    """The line of an event, or of the next one that has a line."""
    for number in range(event, min(event + 40, len(recording.events))):
        site = recording.site(number)
        if site is not None and number:
            return site
    return None


def _mapping(reading: Reading) -> dict[str, str]:
    """Role -> the parameters that play it."""
    events = reading.graph.events

    def names(leaves: Any) -> str:
        found = [events[leaf].name.split(":")[-1] for leaf in leaves]
        return ", ".join(dict.fromkeys(found))[:300]

    found = {
        "source embedding": names([reading.source.leaf]),
        "target embedding": names([reading.target.leaf]),
    }
    for stack, layers in (("encoder", reading.encoder), ("decoder", reading.decoder)):
        for number, layer in enumerate(layers):
            for sub in layer.sublayers:
                at, part = f"{stack} layer {number} {sub.kind}", sub.part
                for role in ("query", "key", "value", "inner"):
                    affine = getattr(part, role, None)
                    if affine is not None:
                        found[f"{at} {role}"] = names(affine.parameters)
                outer = getattr(part, "output_parameters", None) or getattr(part, "parameters", ())
                found[f"{at} output"] = names(outer)
                if sub.norm is not None:
                    found[f"{at} norm"] = names(sub.norm.parameters)
    found["output projection"] = names(reading.output.parameters)
    return found


__all__ = ["EQUAL", "Departure", "Diagnosis", "diagnose", "planted"]

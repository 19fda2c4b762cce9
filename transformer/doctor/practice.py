"""Checks the user's loss, optimizer and decoding, as recorded in a capture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transformer.doctor.checks import Check
from transformer.doctor.departures import Departure
from transformer.doctor.own_decoding import decoding_checks
from transformer.doctor.own_loss import loss_check
from transformer.doctor.reading import Reading
from transformer.doctor.recording import Recording, require, shown, site_of
from transformer.model import Transformer

HIGH = 4
"""A rate above this many times (d_model · 4000)^-½, the usual peak, is too high for Adam."""
ADAMS = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")
MALFORMED = "its account of loss, optimizer and decoding is malformed"
NAMES = {"loss": "Your loss", "optimizer": "Your optimizer", "greedy": "Your decoding"}


@dataclass(frozen=True)
class Observed:
    """Checks of loss, optimizer and decoding, and the departures found in them."""

    checks: list[Check]
    departures: list[Departure]


def practice_of(
    recording: Recording, reading: Reading | None, model: Transformer | None
) -> Observed:
    """Check loss, optimizer and decoding, as far as the capture has them.

    Args:
        model: our model that computes the same as theirs, if there is one.

    Raises:
        CheckpointError: the capture is damaged or forged.
    """
    plain = _mapping(recording.about.get("practice", {}))
    require(plain.keys() <= NAMES.keys(), MALFORMED)
    found = Observed([], [])
    for name, said in NAMES.items():
        if name in recording.about["failed"]:
            problem = recording.about["failed"][name]
            found.checks.append(Check(said, "warning", f"It could not be checked: {problem}."))
    if "loss" in plain:
        _add(found, loss_check(recording, _mapping(plain["loss"]), reading), plain["loss"])
    if "optimizer" in plain:
        for one in _optimizer(recording, _mapping(plain["optimizer"]), reading):
            _add(found, one, plain["optimizer"])
    if "greedy" in plain:
        for one in decoding_checks(recording, _mapping(plain["greedy"]), model):
            _add(found, one, plain["greedy"])
    return found


def _add(found: Observed, check: Check, plain: Mapping[str, Any]) -> None:
    found.checks.append(check)
    if check.alarm and check.fault:
        site = site_of(plain.get("at"))
        where = check.name.removeprefix("Your ")
        found.departures.append(
            Departure(check.fault, where, "proven", check.sentence, False, site)
        )


def _mapping(plain: Any) -> Mapping[str, Any]:
    require(isinstance(plain, dict), MALFORMED)
    found: Mapping[str, Any] = plain
    return found


# --- the optimizer --------------------------------------------------------------------------------


def _optimizer(recording: Recording, plain: Any, reading: Reading | None) -> Iterator[Check]:
    kind, rates = plain.get("kind"), plain.get("rates")
    missing, still = (_texts(plain.get(name), 20_000) for name in ("missing", "still"))
    require(isinstance(kind, str) and isinstance(rates, list) and len(rates) <= 8, MALFORMED)
    require(all(type(rate) in (int, float) for rate in rates), MALFORMED)
    name, kind, count = NAMES["optimizer"], shown(kind), len(recording.parameters)
    idle = [*missing, *still]
    if idle:
        names = ", ".join(map(shown, idle[:3])) + (" and others" if idle[3:] else "")
        why = "it was not given" if missing else "it was given but did not change in three updates"
        yield Check(
            name,
            "problem",
            f"It does not move {names} ({len(idle)} of {count} parameters), which {why}.",
            "parameters-not-optimized",
        )
    else:
        yield Check(name, "ok", f"Three updates of {kind} move all {count} parameters.")
    if reading is None:
        return
    usual = (reading.d_model * 4000) ** -0.5
    if kind in ADAMS and any(HIGH * usual < rate < 1 for rate in rates):
        yield Check(
            "Your learning rate",
            "warning",
            f"{kind} begins with a rate of {max(rates):.3g}; (d_model · 4000)^-½ = {usual:.2g} is "
            "usual at the peak of a warm-up. A schedule of yours may lower it.",
        )


def _texts(plain: Any, most: int) -> list[str]:
    require(isinstance(plain, list) and len(plain) <= most, MALFORMED)
    require(all(isinstance(text, str) for text in plain), MALFORMED)
    return list(plain)

"""Checks that any encoder-decoder must pass, on a recording's probes alone.

They need no mapping: it does not matter which weights play which role.
"""

from dataclasses import dataclass

import numpy as np

from transformer.doctor.comparison import spread_of
from transformer.doctor.recording import Array, Recording

MOVED = 1e-7
"""Logits count as changed from this share of their spread on: rounding in 64 bits is less."""


@dataclass(frozen=True)
class Check:
    """The result of one check: its name, "ok", "warning" or "problem", and a sentence.

    fault: the likeliest cause of a problem; used if the mapping finds no other.
    """

    name: str
    state: str
    sentence: str
    fault: str = ""

    @property
    def alarm(self) -> bool:
        return self.state == "problem"


def checks_of(recording: Recording) -> list[Check]:
    """All checks, in order; only the first two if logits are not finite."""
    found = [_finite(recording), _repeats(recording)]
    if found[0].alarm:
        return found
    for check in (_future, _padding, _batch, _source, _last_source, _parameters):
        made = check(recording)
        if made is not None:
            found.append(made)
    return found


def _finite(recording: Recording) -> Check:
    name = "Finite numbers"
    main = recording.probes["main"].logits
    if np.isfinite(main).all():
        return Check(name, "ok", "All logits are finite.")
    return Check(
        name,
        "problem",
        "Logits are NaN or infinite: a weight overflowed, or a row of scores was masked entirely "
        "with -inf.",
    )


def _repeats(recording: Recording) -> Check:
    name = "The same twice"
    if recording.repeats:
        return Check(name, "ok", "Two calls with the same ids give the same logits.")
    return Check(
        name,
        "problem",
        "In evaluation mode two calls with the same ids give different logits: dropout is on.",
        "dropout-in-eval",
    )


def _moved(recording: Recording, name: str, first: int = 0, last: int | None = None) -> float:
    main, other = recording.probes["main"].logits, recording.probes[name].logits
    return _share(recording, np.abs(main - other)[:, first:last])


def _share(recording: Recording, away: Array) -> float:
    """The largest of these differences of logits, as a share of the logits' spread."""
    return float(np.nan_to_num(away, nan=np.inf).max()) / spread_of(recording)


def _unmoved(name: str, moved: float, ok: str, problem: str, fault: str) -> Check:
    """A problem if ``moved`` is at least MOVED; it fills the braces in the text ``problem``."""
    if moved < MOVED:
        return Check(name, "ok", ok)
    return Check(name, "problem", problem.format(f"{moved:.1%}".replace("%", " %")), fault)


def _future(recording: Recording) -> Check | None:
    if "target" not in recording.probes:
        return None
    main, other = recording.probes["main"], recording.probes["target"]
    changed = int(np.argmax((main.target != other.target).any(axis=0)))
    if changed < 1:
        return None
    away = np.abs(main.logits - other.logits)[:, :changed].max(axis=(0, 2))
    first = int(np.argmax(away / spread_of(recording) >= MOVED))
    return _unmoved(
        "No look into the future",
        _moved(recording, "target", 0, changed),
        "Changed target tokens move no logit before them.",
        f"Target tokens changed from position {changed} on move logits from position {first} on, "
        "by {} of their spread: the decoder sees later tokens.",
        "no-causal-mask",
    )


def _padding(recording: Recording) -> Check | None:
    if "alone" not in recording.probes or "padded" not in recording.probes:
        return None
    alone, padded = recording.probes["alone"].logits[0], recording.probes["padded"].logits[1]
    return _unmoved(
        "Padding changes nothing",
        _share(recording, np.abs(alone - padded[: len(alone)])),
        "A sentence gets the same logits with padding and without.",
        "With padding after it, a sentence's logits move by {} of their spread.",
        "no-source-padding-mask",
    )


def _batch(recording: Recording) -> Check | None:
    if "flipped" not in recording.probes:
        return None
    # This probe changes all sources except the middle one.
    main, flipped = recording.probes["main"], recording.probes["flipped"]
    middle = len(main.source) // 2
    if (main.source[middle] != flipped.source[middle]).any():
        return None
    return _unmoved(
        "Sentences do not mix",
        _share(recording, np.abs(main.logits[middle] - flipped.logits[middle])),
        "A sentence does not depend on its neighbours in the batch.",
        "Other neighbours in the batch move a sentence's logits by {} of their spread.",
        "batch-time-swapped",
    )


def _source(recording: Recording) -> Check | None:
    if "flipped" not in recording.probes or "reversed" not in recording.probes:
        return None
    name = "The source is read"
    if _moved(recording, "flipped") < MOVED:
        return Check(
            name,
            "problem",
            "With another sentence's source the logits stay the same: the decoder does not read "
            "the encoder's output.",
            "cross-attention-reads-decoder",
        )
    if _moved(recording, "reversed") < MOVED:
        return Check(
            name,
            "problem",
            "With the source read backwards the logits stay the same: the encoder does not "
            "know positions.",
            "no-positions",
        )
    return Check(name, "ok", "Another source, or the same backwards, moves the logits.")


def _last_source(recording: Recording) -> Check | None:
    if "source" not in recording.probes:
        return None
    name = "The first word sees the whole source"
    if _moved(recording, "source", 0, 1) >= MOVED:
        return Check(
            name, "ok", "The last source token moves the logits of the first target position."
        )
    return Check(
        name,
        "problem",
        "Another last source token does not move the logits of the first target position: "
        "cross-attention or the encoder has a causal mask.",
    )


def _parameters(recording: Recording) -> Check | None:
    name = "Every parameter is used"
    idle = [p["name"] for p in recording.parameters if p["gradient"] == "no"]
    if not recording.parameters or all(not p["gradient"] for p in recording.parameters):
        return None
    if not idle:
        return Check(name, "ok", f"A gradient reaches all {len(recording.parameters)} parameters.")
    return Check(
        name,
        "warning",
        f"No gradient reaches {', '.join(idle[:3])}{' and others' if len(idle) > 3 else ''} "
        f"({len(idle)} of {len(recording.parameters)}).",
    )

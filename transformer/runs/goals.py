"""``goals.json`` of a run: the evidence for the three goals, written by the trainer.

Goal 1, near-zero loss on a tiny set, is shown by the overfit check (:mod:`trainer.overfit`);
goal 3, a saved model works after loading, by the checks of the run's first and last checkpoint.
Goal 2, better than untrained, needs no file: the metrics hold both. Loads no torch.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from transformer.files import read_object, write_atomic

FILE = "goals.json"
PASSED, PENDING, FAILED, UNMEASURED = "passed", "pending", "failed", "not measured"
"""States of a goal: pending while its evidence may still come, not measured once it cannot."""
NEAR_ZERO = 0.01
"""A loss below this, in nats per token, is (nearly) zero: tokens get about 99 % probability."""


@dataclass(frozen=True)
class OverfitCheck:
    """Result of training a small model to memorise a few pairs.

    pairs: number of pairs to memorise; right: number of them that it then wrote exactly.
    curve: [step, loss in nats per token], from step 0, before any update.
    loss: the last loss; None if it was no longer a finite number.
    cut_short: whether it ran out of time before its last step.
    """

    pairs: int
    right: int
    curve: list[list[float]]
    loss: float | None
    steps: int
    seconds: float
    cut_short: bool = False

    @property
    def near_zero(self) -> bool:
        return self.loss is not None and self.loss < NEAR_ZERO

    @property
    def still_falling(self) -> bool:
        """Whether its loss was falling to the end: a low learning rate needs more updates."""
        if self.loss is None or self.near_zero or len(self.curve) < 3:
            return False
        half = next((loss for step, loss in self.curve if step >= self.steps / 2), self.loss)
        return self.loss < 0.7 * half

    @property
    def state(self) -> str:
        """State of goal 1."""
        if self.proven:
            return PASSED
        return UNMEASURED if self.undecided else FAILED

    @property
    def undecided(self) -> str:
        """Why the check is inconclusive, in a few words; empty if it is not."""
        if self.proven:
            return ""
        if self.cut_short:
            return f"cut short after {self.seconds:.0f} s"
        return "its loss was still falling" if self.still_falling else ""

    @property
    def proven(self) -> bool:
        """Near-zero loss, and every pair written right from its source alone."""
        return self.near_zero and self.right == self.pairs

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: object) -> Self | None:
        """Read what :meth:`to_dict` wrote; None if it is something else."""
        if not isinstance(plain, Mapping) or not set(cls.__match_args__[:-1]) <= set(plain):
            return None
        loss, curve = plain["loss"], plain["curve"]
        counts = [plain["pairs"], plain["right"], plain["steps"]]
        sound = (
            all(_is_number(value) for value in (*counts, plain["seconds"]))
            and (loss is None or _is_number(loss))
            and isinstance(curve, list)
            and all(
                isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))
                for point in curve
            )
        )
        if not sound:
            return None
        pairs, right, steps = map(int, counts)
        seconds, cut_short = plain["seconds"], bool(plain.get("cut_short"))
        return cls(pairs, right, curve, loss, steps, seconds, cut_short)


@dataclass(frozen=True)
class Reload:
    """Result of loading a checkpoint again: name, verdict and evidence of each check."""

    step: int
    ok: bool
    checks: list[tuple[str, bool, str]]

    @property
    def state(self) -> str:
        """State of goal 3."""
        return PASSED if self.ok and all(ok for _, ok, _ in self.checks) else FAILED

    @classmethod
    def from_dict(cls, plain: object) -> Self | None:
        """Read {"step", "ok", "checks": [{"name", "ok", "detail"}]}; None if it is not that."""
        if not isinstance(plain, Mapping) or not isinstance(plain.get("step"), int):
            return None
        checks = plain.get("checks")
        if not isinstance(checks, list) or not all(
            isinstance(check, Mapping)
            and isinstance(check.get("name"), str)
            and isinstance(check.get("ok"), bool)
            and isinstance(check.get("detail"), str)
            for check in checks
        ):
            return None
        found = [(check["name"], check["ok"], check["detail"]) for check in checks]
        return cls(plain["step"], plain.get("ok") is True, found)


@dataclass(frozen=True)
class Goals:
    """The evidence so far; None where there is none yet."""

    overfit: OverfitCheck | None = None
    reload: Reload | None = None

    def first(self, ended: bool) -> tuple[str, str]:
        """State of goal 1 and, if it is not measured, the reason in a few words.

        Args:
            ended: whether the run is over, so that no more evidence will come.
        """
        if self.overfit is None:
            return (UNMEASURED, "the run ended before it") if ended else (PENDING, "")
        return self.overfit.state, self.overfit.undecided

    def third(self, ended: bool) -> tuple[str, str]:
        """State of goal 3 and the reason, as :meth:`first` returns them for goal 1."""
        if self.reload is None:
            return (UNMEASURED, "no saved model was loaded again") if ended else (PENDING, "")
        return self.reload.state, ""


def read_goals(run_path: Path) -> Goals:
    """The evidence in a run directory. A missing or damaged file is no evidence."""
    plain = read_object(run_path / FILE)
    return Goals(OverfitCheck.from_dict(plain.get("twin")), Reload.from_dict(plain.get("reload")))


def add_evidence(run_path: Path, goal: str, evidence: Mapping[str, Any]) -> None:
    """Add the evidence for a goal to the file, atomically.

    Args:
        goal: its key in the file: "reload", or "twin", a former name of the overfit check that
            files keep.
    """
    content = read_object(run_path / FILE) | {goal: dict(evidence)}
    write_atomic(run_path / FILE, json.dumps(content, allow_nan=False, indent=1).encode())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

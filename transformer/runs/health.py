"""``health.json`` of a run: the findings of its latest health check. Loads no torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from transformer.files import read_object, write_atomic

FILE = "health.json"
TEXTS = ("name", "state", "sentence", "advice")
"""The fields of a finding, as :class:`health.Finding` has them."""


@dataclass(frozen=True)
class HealthCheck:
    """The findings of a health check.

    step: the run's last step at the time.
    findings: each with the texts "name", "state", "sentence" and "advice".
    """

    step: int
    findings: Sequence[Mapping[str, str]]

    @classmethod
    def from_dict(cls, plain: object) -> Self | None:
        """Read {"step", "findings"}; None if it is something else."""
        if not isinstance(plain, Mapping) or type(plain.get("step")) is not int:
            return None
        findings = plain.get("findings")
        if not isinstance(findings, list) or not all(
            isinstance(one, Mapping) and all(isinstance(one.get(name), str) for name in TEXTS)
            for one in findings
        ):
            return None
        return cls(plain["step"], [{name: one[name] for name in TEXTS} for one in findings])

    def count(self, state: str) -> int:
        return sum(finding["state"] == state for finding in self.findings)

    @property
    def alarms(self) -> list[Mapping[str, str]]:
        """The problems, then the warnings, each in the order of ``findings``."""
        return [
            finding
            for state in ("problem", "warning")
            for finding in self.findings
            if finding["state"] == state
        ]

    @property
    def summary(self) -> str:
        """In a few words, how many checks found something, or how many passed."""
        if problems := self.count("problem"):
            return "1 problem found" if problems == 1 else f"{problems} problems found"
        if warnings := self.count("warning"):
            return "1 thing to look at" if warnings == 1 else f"{warnings} things to look at"
        passed = self.count("ok")
        said = "1 check passed" if passed == 1 else f"{passed} checks passed"
        return (
            f"{said}, {waiting} still to be judged" if (waiting := self.count("waiting")) else said
        )


def read_health(run_path: Path) -> HealthCheck | None:
    """The check in a run's directory; None if the file is missing or damaged."""
    return HealthCheck.from_dict(read_object(run_path / FILE))


def write_health(run_path: Path, step: int, findings: Sequence[Mapping[str, Any]]) -> None:
    """Replace the findings in a run's directory, atomically."""
    content = {"step": step, "findings": [dict(finding) for finding in findings]}
    write_atomic(run_path / FILE, json.dumps(content, ensure_ascii=False, indent=1).encode())

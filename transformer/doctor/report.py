"""A diagnosis for the user: as text, as JSON, as an HTML page."""

import hashlib
from dataclasses import dataclass
from typing import Any

from transformer.doctor.checks import Check
from transformer.doctor.diagnosis import Departure, Diagnosis
from transformer.doctor.fault_places import box_of
from transformer.faults import FAULTS
from transformer.figures.architecture import Highlight
from transformer.report.document import document, named, text

HINTS = (1, 2, 3)
"""Levels of detail: 1 names the paper's section, 2 also evidence and place, 3 cause and remedy."""


@dataclass(frozen=True)
class Report:
    """A diagnosis, and the departures that the user accepts.

    digest: sha256 of the capture. accepted: names of faults that are intended.
    """

    diagnosis: Diagnosis
    digest: str
    accepted: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return self.diagnosis.verdict

    @property
    def departures(self) -> list[Departure]:
        return self.diagnosis.departures

    @property
    def highlight(self) -> Highlight | None:
        """The box of the paper's figure where the model first departs, if one is known."""
        found = self.diagnosis
        harmful = [d for d in found.departures if not d.harmless] or found.departures
        if harmful:
            return box_of(harmful[0].fault, harmful[0].where)
        return None if found.first is None else box_of("", found.first.name)

    @property
    def passed(self) -> bool:
        """Whether the model equals the paper's except for accepted or harmless departures."""
        if self.verdict == "unknown":
            return False
        return all(d.harmless or d.fault in self.accepted for d in self.departures)

    def to_dict(self, hint: int = 3) -> dict[str, Any]:
        """The report as one JSON object, without what the hint level withholds."""
        found = self.diagnosis
        about = found.recording.about
        away = found.distance
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "largest_difference": None if away is None or away.absolute > 1e300 else away.absolute,
            "departures": [self._departure(d, hint) for d in self.departures],
            "choices": found.choices,
            "checks": [
                {"name": c.name, "state": c.state, "sentence": sentence_of(c, hint)}
                for c in found.checks
            ],
            "mapping": found.mapping,
            "mapping_problem": found.problem,
            "line": "" if found.problem_site is None else str(found.problem_site),
            "model": about["model"],
            "part": about["part"],
            "called": about["called"],
            "captured": about["created"],
            "versions": {"torch": about["torch"], "python": about["python"]},
            "sha256": self.digest,
        }

    def _departure(self, departure: Departure, hint: int) -> dict[str, Any]:
        plain: dict[str, Any] = {"harmless": departure.harmless}
        fault = FAULTS.get(departure.fault)
        plain["section"] = fault.section if fault else "3.1"
        if hint >= 2:
            plain |= {"where": departure.where, "evidence": evidence_of(departure, hint)}
            plain["line"] = "" if departure.site is None else str(departure.site)
        if hint >= 3:
            plain |= {"fault": departure.fault, "certainty": departure.certainty}
            plain |= {"remedy": fault.remedy if fault else "", "title": title_of(departure)}
        return plain

    def sentence(self) -> str:
        """The verdict in one sentence; for a part of a model, in two."""
        part = self.diagnosis.recording.about["part"]
        said = f"Your {part}, in the paper's model around it. " if part else ""
        return said + self._sentence()

    def _sentence(self) -> str:
        found = self.diagnosis
        away = found.distance
        if self.verdict == "equal" and away is not None:
            return (
                f"Equal to the paper: with your weights our model gives your logits, within "
                f"{away.absolute:.0e}, on all {len(away.by_probe)} probes."
            )
        if self.verdict == "departs":
            count = len(self.departures)
            certain = all(d.certainty == "proven" for d in self.departures)
            kind = "proven" if certain else "likely"
            if self.passed:
                kind = "harmless or accepted"
            return f"Departs from the paper in {count} way{'' if count == 1 else 's'} ({kind})."
        return "Unknown: the model as a whole could not be compared with the paper."

    def text(self, hint: int = 3) -> str:
        """The report as text for a terminal."""
        found = self.diagnosis
        lines = [self.sentence()]
        if found.problem and hint >= 2:
            at = f" ({found.problem_site})" if found.problem_site else ""
            lines.append(f"{found.problem}{at}")
        for number, departure in enumerate(self.departures, 1):
            lines += ["", *self._departure_lines(number, departure, hint)]
        if found.choices:
            lines += ["", "Choices, all fine:", *(f"  {choice}" for choice in found.choices)]
        lines += ["", "Checks that need no mapping:"]
        lines += [f"  {c.state:<8} {c.name}: {sentence_of(c, hint)}" for c in found.checks]
        return "\n".join(lines)

    def _departure_lines(self, number: int, departure: Departure, hint: int) -> list[str]:
        fault = FAULTS.get(departure.fault)
        section = fault.section if fault else "3.1"
        if hint == 1:
            return [f"{number}. Read section {section} of the paper again."]
        at = f" ({departure.site})" if departure.site else ""
        lines = [f"{number}. Seen at {departure.where}{at}: {evidence_of(departure, hint)}"]
        if hint == 2:
            return lines
        harmless = ", harmless" if departure.harmless else ""
        lines[0] = (
            f"{number}. {title_of(departure)} [{departure.fault}, {departure.certainty}{harmless}]"
        )
        lines.append(f"   at {departure.where}{at}")
        if departure.site is not None and departure.site.text:
            lines.append(f"   yours:  {departure.site.text}")
        if fault is not None:
            lines += [f"   paper:  {fault.right}", f"   why:    {fault.why}"]
            lines.append(f"   remedy: {fault.remedy}")
        lines.append(f"   {departure.evidence}")
        return lines

    def html(self, hint: int = 3) -> str:
        """The report as an HTML page that loads nothing: a certificate, or the departures."""
        about = self.diagnosis.recording.about
        rows = {
            "Model": about["model"],
            "Called": about["called"],
            "Captured": about["created"],
            "torch, Python": f"{about['torch']}, {about['python']}",
            "sha256 of the capture": self.digest,
        }
        title = "Certificate" if self.verdict == "equal" else "Report of the doctor"
        body = f"{named(rows)}<pre>{text(self.text(hint))}</pre>"
        return document(title, self.sentence(), body).decode()


def title_of(departure: Departure) -> str:
    """What is wrong, in a few words."""
    fault = FAULTS.get(departure.fault)
    return fault.title if fault else "Something is computed differently than in the paper"


def evidence_of(departure: Departure, hint: int) -> str:
    """The evidence. Outside the model it would name the cause, so hints below 3 withhold it."""
    fault = FAULTS.get(departure.fault)
    if hint < 3 and fault is not None and fault.place != "model":
        return (
            f"Your {departure.where} does not do what it must; the model itself may still be right."
        )
    return departure.evidence


def sentence_of(check: Check, hint: int) -> str:
    """A check's sentence, without the cause if the hint level withholds it."""
    fault = FAULTS.get(check.fault)
    if hint < 3 and check.alarm and fault is not None and fault.place != "model":
        return "It does not do what it must."
    return check.sentence


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

"""The health check on a page: a button, its progress, and what was found, in words."""

import json
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.shell import jobs
from transformer.errors import RunError
from transformer.runs.directory import Run

MOST_SECONDS = 180.0
MARKS = {"problem": "✗", "warning": "!", "waiting": "…", "ok": "✓"}
# Each check imports PyTorch in a process of its own: a class must not start thirty at once.
QUEUE = jobs.Queue(
    max(1, (os.cpu_count() or 1) // 2), "waiting for other checks to end", usual_seconds=8.0
)


@dataclass(frozen=True)
class Checked:
    """What a check found, and the step that the run was at."""

    step: int
    findings: list[dict[str, Any]]


def check(path: Path) -> Generator[object, None, None]:
    """The work of a job: the findings of one run."""
    yield "Loading PyTorch"
    step = Run(path).last_step()
    answer = yield from jobs.command("health", str(path), "--json", limit_seconds=MOST_SECONDS)
    try:
        findings = json.loads(answer)["findings"]
    except (ValueError, KeyError, TypeError):
        raise RunError("The check ended without an answer. Try it again.") from None
    yield Checked(step, findings)


def health_button(run: Run) -> None:
    """The button and, below it, progress or findings: all who watch the run share one check.

    Not to be called inside a fragment.
    """
    path = run.path.resolve()
    name = ("health", str(path))
    job = jobs.shared(name)
    again = job is not None and job.result is not None
    if st.button(
        "Check its health again" if again else "Check this run's health",
        icon=":material/stethoscope:",
        disabled=job is not None and job.running,
        key=f"health {run.id}",
    ):
        jobs.forget(name)
        jobs.share(name, partial(check, path), QUEUE)
        st.rerun()
    found = jobs.show(job, "Check")
    if isinstance(found, Checked):
        st.markdown(f"**{_summary(found.findings)}** Looked at step {found.step:,}.")
        st.html(findings_list(found.findings))
    elif job is None:
        st.caption(
            "Looks at the live model's masks and softmax, at the batches, a tiny twin and the "
            "curve, and says in words what is wrong. It takes a few seconds."
        )


def _summary(findings: Sequence[dict[str, Any]]) -> str:
    counts = {state: sum(f["state"] == state for f in findings) for state in MARKS}
    if problems := counts["problem"]:
        return "1 problem found." if problems == 1 else f"{problems} problems found."
    if warnings := counts["warning"]:
        return "1 thing to look at." if warnings == 1 else f"{warnings} things to look at."
    waiting = f", {counts['waiting']} still to be judged" if counts["waiting"] else ""
    return f"All is well: {counts['ok']} checks passed{waiting}."


def findings_list(findings: Sequence[dict[str, Any]]) -> str:
    """HTML of the findings, alarms first; each has "name", "state", "sentence", "advice"."""
    order = list(MARKS)
    ordered = sorted(findings, key=lambda finding: min(order.index(finding["state"]), 2))
    return '<ul class="findings">' + "".join(map(_item, ordered)) + "</ul>"


def _item(finding: dict[str, Any]) -> str:
    state = finding["state"]
    alarm = ' class="alarm"' if state in ("problem", "warning") else ""
    advice = f'<span class="advice">→ {escape(finding["advice"])}</span>'
    return (
        f'<li{alarm}><span class="mark" aria-hidden="true">{MARKS[state]}</span>'
        f'<span class="said">{state}: </span><b>{escape(finding["name"])}</b>. '
        f"{escape(finding['sentence'])}{advice if finding['advice'] else ''}</li>"
    )

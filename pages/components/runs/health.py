"""The health check on a page: its findings in words, and a button to repeat it."""

import json
import os
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path

import streamlit as st

from pages.components.shell import jobs
from transformer.errors import RunError
from transformer.runs.directory import Run
from transformer.runs.health import HealthCheck, read_health

MOST_SECONDS = 180.0
MARKS = {"problem": "✗", "warning": "!", "waiting": "…", "ok": "✓"}
# Each check imports PyTorch in a separate process: a class must not start thirty at once.
QUEUE = jobs.Queue(
    max(1, (os.cpu_count() or 1) // 2), "waiting for other checks to end", usual_seconds=8.0
)


def check(path: Path) -> Generator[object, None, None]:
    """The work of a job: the findings of one run."""
    yield "Loading PyTorch"
    step = Run(path).last_step()
    answer = yield from jobs.command("health", str(path), "--json", limit_seconds=MOST_SECONDS)
    try:
        found = HealthCheck.from_dict({"step": step, "findings": json.loads(answer)["findings"]})
    except (ValueError, KeyError, TypeError):
        found = None
    if found is None:
        raise RunError("The check ended without an answer. Try it again.")
    yield found


def checks_panel(run: Run, known: HealthCheck | None) -> None:
    """Draw what the checks found, and a button to repeat them in one job for all sessions.

    Don't call it in a fragment.
    """
    name = ("health", str(run.path.resolve()))
    job = jobs.shared(name)
    running = job is not None and job.running
    if known is not None and not running:
        folded = not known.alarms
        with st.expander(f"{known.summary}, at step {known.step:,}", expanded=not folded):
            st.html(findings_list(known.findings))
    elif not running:
        st.caption(
            "The checks examine masks and softmax, the batches, a small copy and the curve, and "
            "say in words what is wrong. They start by themselves when a run ends."
        )
    if st.button(
        "Check again" if known is not None else "Check now",
        icon=":material/stethoscope:",
        disabled=running,
        key=f"health {run.id}",
    ):
        jobs.forget(name)
        jobs.share(name, partial(check, run.path.resolve()), QUEUE)
        st.rerun()
    found = jobs.show(job, "Check")
    if isinstance(found, HealthCheck):
        jobs.forget(name)
        if read_health(run.path) == found:
            st.rerun()  # the verdict may have changed
        st.html(findings_list(found.findings))  # if the run's directory is read-only


def findings_list(findings: Sequence[Mapping[str, str]]) -> str:
    """HTML of the findings, alarms first; each has "name", "state", "sentence", "advice"."""
    order = list(MARKS)
    ordered = sorted(findings, key=lambda finding: min(order.index(finding["state"]), 2))
    return '<ul class="findings">' + "".join(map(_item, ordered)) + "</ul>"


def _item(finding: Mapping[str, str]) -> str:
    state = finding["state"]
    alarm = ' class="alarm"' if state in ("problem", "warning") else ""
    advice = f'<span class="advice">→ {escape(finding["advice"])}</span>'
    return (
        f'<li{alarm}><span class="mark" aria-hidden="true">{MARKS[state]}</span>'
        f'<span class="said">{state}: </span><b>{escape(finding["name"])}</b>. '
        f"{escape(finding['sentence'])}{advice if finding['advice'] else ''}</li>"
    )

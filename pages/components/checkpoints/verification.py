"""*Check this checkpoint*: evidence that it behaves as when it was saved, to view and download."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.shared.download import download
from pages.components.shell import jobs
from pages.components.shell.loaded import Key, key_of
from pages.components.shell.models import Listed
from pages.components.shell.text import plain
from transformer.report import evidence

if TYPE_CHECKING:
    from transformer.checkpoint.verification import Check

PROOF, JOB = "proof", "proof job"
CHECKS = jobs.Queue(2, "waiting for another check to end", most_seconds=300)
AT_ONCE_SECONDS = 3.0
"""Seconds to wait before a progress bar is drawn; small models are compared by then."""


@dataclass(frozen=True)
class Proof:
    """The checks of one file. file: its key when it was checked."""

    entry: Listed
    file: Key | None
    checks: "list[Check]"
    report: dict[str, Any]


def check(entry: Listed) -> None:
    """Start a job that loads the file again and compares; :func:`proof` draws its result.

    Raises:
        CheckpointError: the file cannot be loaded.
    """
    for key in (PROOF, JOB):
        job = st.session_state.pop(key, None)
        if isinstance(job, jobs.Job):
            job.cancel()
    job = jobs.start((entry.id, key_of(entry.path)), partial(_compared, entry), CHECKS)
    st.session_state[JOB] = job
    with st.spinner("Loading the file afresh and comparing…"):
        job.ended.wait(AT_ONCE_SECONDS)


def _compared(entry: Listed) -> Generator[object, None, None]:
    """The work of a job: its result is a :class:`Proof`."""
    from transformer.checkpoint.verification import verifying

    file = key_of(entry.path)
    checks = yield from verifying(entry.path)
    # Made now, so that the report has the date of the checks.
    report = evidence.report(entry.path, checks, f"{entry.id}.safetensors")
    yield Proof(entry, file, checks, report)


def proof(entry: Listed) -> None:
    """Draw the result of the last check if it was of this unchanged file; with downloads."""
    job = jobs.current(JOB, (entry.id, key_of(entry.path)))
    found = jobs.show(job, "Comparing with what it wrote when it was saved")
    if isinstance(found, Proof):
        st.session_state[PROOF] = found
        del st.session_state[JOB]
    kept: Proof | None = st.session_state.get(PROOF)
    if kept is None or kept.entry.id != entry.id or kept.file != key_of(entry.path):
        return
    with st.container(border=True):
        st.markdown(f"**{evidence.verdict(kept.checks)}**")
        for one in kept.checks:
            mark = ":material/check_circle:" if one.ok else ":material/cancel:"
            word = "holds" if one.ok else "FAILS"
            st.markdown(f"{mark} **{evidence.TITLES[one.name]}** ({word}): {plain(one.detail)}.")
        with st.container(horizontal=True, vertical_alignment="center"):
            for label, ending, content in (
                ("Evidence to print", "html", evidence.as_html(kept.report)),
                ("Evidence as JSON", "json", evidence.as_json(kept.report)),
            ):
                download(label, content, f"{entry.id}-checked.{ending}")
            st.caption(
                "With the file's SHA-256, versions, date, and every output then and now.",
                width="content",
            )

"""*Check this checkpoint*: evidence that it behaves as when it was saved, to look at and keep."""

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
"""A small model is compared in that time, and needs no progress bar."""


@dataclass(frozen=True)
class Proof:
    """What was found out about one file, as it was then."""

    entry: Listed
    file: Key | None
    checks: "list[Check]"
    report: dict[str, Any]


def check(entry: Listed) -> None:
    """Begin to load the file afresh and compare; what is found stays as long as the card is shown.

    Raises:
        CheckpointError: it cannot be loaded at all.
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
    # Now, so that the report's date is that of the checks.
    report = evidence.report(entry.path, checks, f"{entry.id}.safetensors")
    yield Proof(entry, file, checks, report)


def proof(entry: Listed) -> None:
    """What the last check of this very file found, with its evidence to take along."""
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

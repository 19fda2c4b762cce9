"""*Check this checkpoint*: evidence that it behaves as when it was saved, to look at and keep."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.shell.models import Listed
from pages.components.shell.text import plain
from transformer.checkpoint import report as evidence

if TYPE_CHECKING:
    from transformer.checkpoint.verification import Check

PROOF = "proof"


@dataclass(frozen=True)
class Proof:
    """What was found out about one file, as it was then."""

    entry: Listed
    stamp: int
    checks: "list[Check]"
    report: dict[str, Any]


def check(entry: Listed) -> None:
    """Load the file afresh, compare, and keep what was found as long as the card is shown.

    Raises:
        CheckpointError: it cannot be loaded at all.
    """
    from transformer.checkpoint.verification import verify

    st.session_state.pop(PROOF, None)
    with st.spinner("Loading the file afresh and comparing…"):
        found = verify(entry.path)
        # Now, so that the report's date is that of the checks.
        report = evidence.report(entry.path, found, f"{entry.id}.safetensors")
    st.session_state[PROOF] = Proof(entry, _stamp(entry), found, report)


def _stamp(entry: Listed) -> int:
    try:
        return entry.path.stat().st_mtime_ns
    except OSError:
        return 0


def proof(entry: Listed) -> None:
    """What the last check of this very file found, with its evidence to take along."""
    kept: Proof | None = st.session_state.get(PROOF)
    if kept is None or kept.entry.id != entry.id or kept.stamp != _stamp(entry):
        return
    with st.container(border=True):
        st.markdown(f"**{evidence.verdict(kept.checks)}**")
        for one in kept.checks:
            mark = ":material/check_circle:" if one.ok else ":material/cancel:"
            word = "holds" if one.ok else "FAILS"
            st.markdown(f"{mark} **{evidence.TITLES[one.name]}** ({word}): {plain(one.detail)}.")
        with st.container(horizontal=True, vertical_alignment="center"):
            for label, ending, mime, content in (
                ("Evidence to print", "html", "text/html", evidence.as_html(kept.report)),
                ("Evidence as JSON", "json", "application/json", evidence.as_json(kept.report)),
            ):
                st.download_button(
                    label,
                    content,
                    file_name=f"{entry.id}-checked.{ending}",
                    mime=mime,
                    on_click="ignore",
                    icon=":material/download:",
                )
            st.caption(
                "With the file's SHA-256, versions, date, and every output then and now.",
                width="content",
            )

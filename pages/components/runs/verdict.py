"""The verdict on a run as the first line of its page, and its three goals and checks in a line."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.components.runs.goals import GOAL_NAMES, MARKS
from transformer.runs.goals import PASSED, UNMEASURED
from transformer.runs.health import HealthCheck
from transformer.runs.verdict import Verdict


def verdict_line(found: Verdict) -> None:
    """Draw the verdict's sentence and advice."""
    sentence, colon, rest = found.sentence.partition(":")
    advice = f' <span class="next">{escape(found.advice)}</span>' if found.advice else ""
    st.html(
        f'<p class="run-verdict {found.tone}" role="status">'
        f'<span class="sign" aria-hidden="true">{found.sign}</span> '
        f"<b>{escape(sentence)}{colon}</b>{escape(rest)}{advice}</p>"
    )


def evidence_line(state: str, goals: Sequence[tuple[str, str]], health: HealthCheck | None) -> None:
    """Draw how the run ended, the three goals and the checks' result, each in a few words.

    Args:
        goals: state and reason of each; empty if there is nothing to show yet.
    """
    parts = [f"<li>{escape(state)}</li>"]
    if goals:
        if {state for state, _ in goals} == {PASSED}:
            parts.append(f'<li class="passed">{MARKS[PASSED]} three goals passed</li>')
        else:
            parts += [
                f'<li class="{state}">{MARKS[state]} {name}: {escape(_reason(state, why))}</li>'
                for name, (state, why) in zip(GOAL_NAMES, goals, strict=True)
            ]
        checks, alarm = "No checks yet" if health is None else health.summary, ""
        if health is not None and health.alarms:
            checks, alarm = f"{checks}: see Checks, below", ' class="failed"'
        parts.append(f"<li{alarm}>{escape(checks)}</li>")
    st.html(f'<ul class="run-evidence">{"".join(parts)}</ul>')


def _reason(state: str, why: str) -> str:
    return f"{state} ({why})" if why and state == UNMEASURED else why or state

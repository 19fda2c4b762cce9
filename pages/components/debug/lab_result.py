"""Results of the lab: the prediction judged, both curves and outputs, the checks, and why."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.debug.lab_runs import Pair
from pages.components.runs.health import findings_list
from pages.components.shared.download import download
from pages.components.shared.history import history_of
from pages.components.shell import browser
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import as_file_name, number, percent, plain
from transformer.report.predicted import lab_page
from transformer.runs.directory import Run
from transformer.runs.health import read_health
from transformer.runs.lab import OUTCOMES, Result, outcome

if TYPE_CHECKING:
    from transformer.faults import Fault

SHOWN = 6
MARKS = {True: "✓", False: "✗"}


def results(pair: Pair, fault: "Fault", predicted: int) -> bool:
    """Draw everything about two runs that have ended, first whether the prediction was right.

    Returns:
        whether they can be compared: after too few updates, even the healthy copy knows nothing.
    """
    assert pair.faulty is not None
    assert pair.healthy is not None
    runs = {"with the fault": pair.faulty, "healthy copy": pair.healthy}
    wrong, right = (Result.of(run) for run in runs.values())
    seen = outcome(wrong, right)
    _answer(seen, predicted)
    _numbers(wrong, right)
    curves(runs)
    _outputs(runs)
    checks(pair.faulty)
    st.markdown(f"**Why.** {plain(fault.why)}")
    st.markdown(f"**Remedy.** {plain(fault.remedy)}")
    if seen == 0:
        st.info(
            f"**It still solves letters.** {plain(where_it_shows(fault))}",
            icon=":material/lightbulb:",
        )
    links(pair.faulty)
    author = browser.user_name()
    download(
        "Keep it as a page (HTML)",
        partial(lab_page, fault, pair.faulty, pair.healthy, predicted, author),
        f"{as_file_name(f'{author} {fault.name}')}.html",
        help="It opens offline, prints, and can be handed in.",
    )
    return seen is not None


def where_it_shows(fault: "Fault") -> str:
    """What reveals a fault if the lab's letter task does not, in a sentence."""
    if fault.where_it_shows:
        return fault.where_it_shows
    if fault.harmless:
        return "It is harmless: the model computes something else, but learns equally well."
    if fault.place != "model":
        return "No curve and no score of this task shows it; the health check of the run does."
    return (
        "No curve and no score of this task shows it. The doctor does: it compares each value with "
        "the paper's (My model)."
    )


def _answer(seen: int | None, predicted: int) -> None:
    if seen is None:
        st.info(
            "The healthy copy has not learned it either: after so few updates, the result does "
            "not show whether you are right. Give both more updates, below.",
            icon=":material/hourglass_empty:",
        )
    elif seen == predicted:
        st.success(f"**You predicted it.** {OUTCOMES[seen]}.", icon=":material/check_circle:")
    else:
        st.warning(
            f"**{OUTCOMES[seen]}.** You predicted: {OUTCOMES[predicted].lower()}.",
            icon=":material/psychology_alt:",
        )


def _numbers(wrong: Result, right: Result) -> None:
    def said(value: float | None, how: str) -> str:
        if value is None:
            return "not measured"
        return number(value) if how == "loss" else percent(value)

    rows = [
        {
            "": title,
            "with the fault": said(getattr(wrong, name), name),
            "healthy copy": said(getattr(right, name), name),
        }
        for title, name in (
            ("Loss, nats per token", "loss"),
            ("Tokens right, given the true ones before", "forced"),
            ("Whole answers right, written alone", "alone"),
        )
    ]
    st.table(rows, border="horizontal")


def curves(runs: Mapping[str, Run]) -> None:
    """Draw the training losses of the runs on one chart."""
    from transformer.figures.curves import LOSS, STEPS, run_comparison

    points = {name: history_of(run).training() for name, run in runs.items()}
    lines = [(name, [(one[0], one[1]) for one in found]) for name, found in points.items()]
    st.plotly_chart(
        run_comparison(
            lines, title="Training loss of both", x_title=STEPS, y_title=LOSS, logarithmic_y=True
        )
    )
    st.caption("The loss scale is logarithmic. A loss below the healthy copy's is suspicious.")


def _outputs(runs: Mapping[str, Run]) -> None:
    st.markdown("**What both write**, greedily, by themselves")
    wrong, right = (history_of(run).samples for run in runs.values())
    if not wrong or not right:
        st.caption("Nothing was recorded.")
        return
    rows = [
        {
            "input": one["source"],
            "right answer": "".join(one["target"]),
            "with the fault": f"{MARKS[one['right']]} {''.join(one['output'])}",
            "healthy copy": f"{MARKS[other['right']]} {''.join(other['output'])}",
        }
        for one, other in zip(wrong[-1]["samples"], right[-1]["samples"], strict=False)
    ]
    st.dataframe(rows[:SHOWN], hide_index=True)


def checks(run: Run) -> None:
    """Draw the alarms of the health check at the run's end."""
    st.markdown("**What the health check says**")
    checked = read_health(run.path)
    if checked is None:
        st.caption("It is running: look again in a few seconds.")
        if st.button("Look again", icon=":material/refresh:", key=f"look {run.id}"):
            st.rerun()
        return
    alarms = [one for one in checked.findings if one["state"] in ("warning", "problem")]
    if alarms:
        st.html(findings_list(alarms))
    else:
        st.caption(f"Nothing: {checked.summary}. It has to be found by comparison.")


def links(run: Run) -> None:
    """Links to the pages of a faulty model; each page works and names the fault."""
    with st.container(horizontal=True):
        link_to("Attention", "Its attention", {"checkpoint": f"run-{run.id}"})
        link_to("Decode", "Decode with it", {"checkpoint": f"run-{run.id}"})
        link_to("Train", "Its run", {"run": run.id})

"""My curve: findings about a user's loss curve, suspected faults, and what no curve can tell."""

from dataclasses import asdict

import streamlit as st

from pages.components.runs.health import findings_list
from pages.components.shell import session
from pages.components.shell.checkpoint_headers import facts_of
from pages.components.shell.frame import problem
from pages.components.shell.models import bundled
from pages.components.shell.text import plain
from transformer.errors import UserError

MOST = 4
MOST_DRAWN = 1000
MOST_MB = 8


def panel() -> None:
    """Fields for a file or numbers; then findings, suspects, and the curve beside a healthy one."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        uploaded = st.file_uploader(
            "Drop a CSV, JSON or JSON-lines file (TensorBoard, Weights & Biases, your own log)",
            type=["csv", "tsv", "txt", "json", "jsonl", "log"],
            key="loss file",
            max_upload_size=MOST_MB,
        )
        pasted = st.text_area("Or paste the losses", key="loss text", height=100)
    with right:
        size = st.number_input(
            "Tokens in the target vocabulary",
            min_value=2,
            value=None,
            key="loss vocabulary",
            placeholder="for the names of plateaus",
        )
        healthy = {
            one.name: facts.summary.curve
            for one in bundled()
            if (facts := facts_of(one.path)) and facts.summary and facts.summary.curve
        }
        beside = st.selectbox("A healthy curve beside it", list(healthy), key="loss beside")
    content: str | bytes = uploaded.getvalue() if uploaded is not None else pasted
    if not content:
        return
    session.wait_for_torch()
    from transformer.doctor.loss_file import read_loss
    from transformer.doctor.loss_reading import read_curve
    from transformer.runs.metrics import thinned

    try:
        curve = read_loss(content)
    except UserError as error:
        problem(error)
        return
    reading = read_curve(curve, int(size) if size else None)
    of = f" of the column {plain(curve.column)}" if curve.column else ""
    st.caption(f"{len(curve.points):,} losses{of} were read.")
    st.html(findings_list([asdict(one) for one in reading.findings]))
    _suspects(reading.suspects[:MOST])
    _chart(list(thinned(curve.points, MOST_DRAWN)), beside, healthy.get(beside or "", []))
    st.info(
        "**What a curve cannot tell.** A low loss proves nothing: a decoder that sees the answer "
        "has the lowest loss, and faults in positions, scales, norms and decoding do not change "
        "it. *My model* compares every value; *Break it* shows such faults at work.",
        icon=":material/visibility_off:",
    )


def _suspects(names: tuple[str, ...]) -> None:
    from transformer.doctor.symptoms import TESTS
    from transformer.faults import FAULTS

    if names:
        st.markdown("**Suspects**, the likeliest first")
    for number, name in enumerate(names, 1):
        fault = FAULTS[name]
        with st.expander(f"{number}. {plain(fault.title)}", expanded=number == 1):
            st.markdown(plain(fault.why))
            st.markdown(f"**Ten-second test.** {plain(TESTS[fault.family])}")
            st.markdown(f"**Remedy.** {plain(fault.remedy)}")


def _chart(
    points: list[tuple[float, float]], beside: str | None, healthy: list[list[float]]
) -> None:
    from transformer.figures.curves import LOSS, STEPS, run_comparison

    lines = [("yours", points)]
    if beside and healthy:
        lines.append((f"healthy: {beside}", [(one[0], one[1]) for one in healthy]))
    st.plotly_chart(run_comparison(lines, title="Your loss", x_title=STEPS, y_title=LOSS))
    if beside and healthy:
        st.caption(_compared(points, beside, healthy))
    st.caption("The healthy curve is of a bundled model, evaluated on held-out pairs.")


def _compared(points: list[tuple[float, float]], beside: str, healthy: list[list[float]]) -> str:
    """Compare the last loss with the healthy curve's, at the same step and at its end, in words."""
    last, loss = points[-1]
    ended, end = healthy[-1][:2]
    before = ""
    if last < ended:
        step, value = min(healthy, key=lambda one: abs(one[0] - last))[:2]
        before = f"had {value:.3g} at step {step:,.0f}, and "
    said = f"{plain(beside)} {before}ended at {end:.3g}, at step {ended:,.0f}"
    return f"Yours has {loss:.3g} at step {last:,.0f}; {said}."

"""Experiments: predict, run a published finding again, and see what came out beside its number."""

import json
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.shell import address, jobs, session
from pages.components.shell.text import plain, seconds

if TYPE_CHECKING:
    from transformer.experiments.experiment import Experiment

QUEUE = jobs.Queue(1, "waiting for another experiment to end")
"""One at a time: what trains or decodes thousands of inputs wants a core to itself."""


def panel() -> None:
    """One finding, chosen by a field, in four steps."""
    session.wait_for_torch()
    from transformer.experiments.registry import EXPERIMENTS

    address.read("experiment", next(iter(EXPERIMENTS)))
    titles = {one.name: one.title for one in EXPERIMENTS.values()}
    name = address.choose("Finding", titles, "experiment", "There is no such experiment.")
    if name is None:
        return
    experiment = EXPERIMENTS[name]
    st.markdown(f"#### {experiment.title}")
    st.markdown(f"**The claim.** {experiment.claim}")
    st.caption(plain(experiment.source))
    st.markdown(f"**Their number.** {experiment.published}.  \n**Run here.** {experiment.what}")
    chosen = _prediction(experiment)
    job = jobs.shared(_job_name(experiment))
    if job is None:
        minutes = experiment.minutes
        long = f"{minutes:.0f} min" if minutes >= 1 else seconds(60 * minutes)
        run = st.button(
            f"Run it: about {long}",
            type="primary",
            disabled=chosen is None,
            help="Predict first." if chosen is None else None,
        )
        if not run:
            return
        job = jobs.share(_job_name(experiment), lambda: _work(experiment), QUEUE)
    elif chosen is None:
        st.caption("It has been run. Predict, and see what came out.")
        return
    found = jobs.show(job, experiment.title)
    if isinstance(found, dict):
        _outcome(experiment, found, chosen)
    elif not job.running and st.button("Run it again"):
        jobs.forget(_job_name(experiment))
        st.rerun()


def _job_name(experiment: "Experiment") -> object:
    return ("experiment", experiment.name)


def _prediction(experiment: "Experiment") -> int | None:
    """What the person predicts, kept in this session: an option's number, None before."""
    key = f"prediction {experiment.name}"
    kept: int | None = st.session_state.get(f"kept {key}")
    chosen: int | None = st.radio(
        f"**Predict first.** {experiment.question}",
        range(len(experiment.options)),
        index=kept,
        format_func=lambda number: experiment.options[number],
        key=key,
    )
    st.session_state[f"kept {key}"] = chosen
    return chosen


def _work(experiment: "Experiment") -> Generator[object, None, None]:
    """The command, in a process of its own, whose last line says the share that is done."""
    running = jobs.command("experiment", experiment.name, "--json")
    while True:
        try:
            said = next(running)
        except StopIteration as end:
            yield json.loads(end.value)
            return
        if said.endswith("%"):
            yield float(said.removesuffix("%").strip()) / 100
        else:
            yield said if said else ""


def _outcome(experiment: "Experiment", found: dict[str, Any], chosen: int | None) -> None:
    """What came out, beside the published number and the prediction."""
    if found["reproduced"]:
        st.success("**Reproduced.**", icon=":material/check_circle:")
    else:
        st.warning("**Not reproduced here.**", icon=":material/info:")
    left, right = st.columns(2)
    left.markdown(f"**Their number**  \n{experiment.published}")
    right.markdown(f"**What came out here**  \n{plain(found['said'])}")
    right_option = experiment.options[found["option"]]
    if chosen == found["option"]:
        st.markdown(f"**You predicted it:** {right_option}.")
    else:
        predicted = "" if chosen is None else experiment.options[chosen]
        st.markdown(f"**You predicted** {predicted}; **it is** {right_option}.")
    if found["curves"]:
        from transformer.figures.curves import named_curves

        st.plotly_chart(named_curves(found["curves"], *experiment.axes, title=experiment.title))
    st.markdown(f"**Why.** {experiment.why}")
    for one in found["outside"]:
        st.caption(plain(f"Outside of the band that it is known to keep to: {one}."))
    st.caption(
        f"Seed {found['seed']}, {seconds(found['seconds'])}. In a terminal: "
        f"`python -m transformer experiment {experiment.name} --json`"
    )

"""Experiments: predict, run a published finding again, and compare the result with its number."""

import json
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.components.shared.download import download
from pages.components.shell import address, browser, jobs, session
from pages.components.shell.text import as_file_name, plain, seconds
from pages.components.stores.answers import keep_answers, read_answers
from transformer.errors import UserError
from transformer.report.predicted import experiment_page

if TYPE_CHECKING:
    from transformer.experiments.experiment import Experiment

PREDICTIONS = "predictions"
"""Name under which predictions (experiment -> option) are stored, like a lesson's answers."""
QUEUE = jobs.Queue(1, "waiting for another experiment to end")
"""One at a time, because training or decoding thousands of inputs needs a whole core."""


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
            f"Run it: about {long} on a free core",
            type="primary",
            disabled=chosen is None,
            help="Predict first." if chosen is None else None,
        )
        if not run:
            return
        # Users who wait behind it read this title before it can estimate the time left.
        title = f"{experiment.title} (about {long} in all)"
        job = jobs.share(_job_name(experiment), lambda: _work(experiment), QUEUE, title)
    elif chosen is None:
        st.caption("It has been run already. Predict, then see the result.")
        return
    found = jobs.show(job, experiment.title)
    if job.running:
        # If this tab opens another page, no page follows the job, and it is stopped.
        st.caption("Meanwhile you can work in another tab: the result stays here.")
    if isinstance(found, dict):
        _outcome(experiment, found, chosen)
    elif not job.running and st.button("Run it again"):
        jobs.forget(_job_name(experiment))
        st.rerun()


def _job_name(experiment: "Experiment") -> object:
    return ("experiment", experiment.name)


def _prediction(experiment: "Experiment") -> int | None:
    """The index of the user's prediction, stored for their browser; None until there is one."""
    key = f"prediction {experiment.name}"
    kept: dict[str, str] | None = st.session_state.get("experiment predictions")
    if kept is None:
        kept = st.session_state["experiment predictions"] = read_answers(
            browser.owner(), PREDICTIONS
        )
    numbers = [str(number) for number in range(len(experiment.options))]
    before = kept.get(experiment.name)
    chosen: str | None = st.radio(
        f"**Predict first.** {experiment.question}",
        numbers,
        index=numbers.index(before) if before in numbers else None,
        format_func=lambda number: experiment.options[int(number)],
        key=key,
    )
    if chosen is not None and chosen != before:
        kept[experiment.name] = chosen
        with suppress(UserError, OSError):  # then it lasts until the tab is closed
            keep_answers(browser.owner(), PREDICTIONS, {experiment.name: chosen})
    return None if chosen is None else int(chosen)


def _work(experiment: "Experiment") -> Generator[object, None, None]:
    """The work of a job: run the command, whose last line has the share done; its result."""
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
    """Draw the result beside the published number and the prediction."""
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
        st.caption(plain(f"Outside the range expected from earlier runs: {one}."))
    if chosen is not None:
        download(
            "Keep it as a page (HTML)",
            partial(experiment_page, experiment, found, chosen, browser.user_name()),
            f"{as_file_name(f'{browser.user_name()} {experiment.name}')}.html",
            help="It opens offline, prints, and can be handed in.",
        )
    st.caption(
        f"Seed {found['seed']}, {seconds(found['seconds'])}. In a terminal: "
        f"`python -m transformer experiment {experiment.name} --json`"
    )

"""Choose a task, train, and watch it learn against the untrained baseline."""

import time
from collections.abc import Mapping

import streamlit as st

from pages.components.runs.actions import duplicate
from pages.components.runs.controls import afterwards, undo_delete
from pages.components.runs.health import health_button
from pages.components.runs.view import evidence_view, links, loss_figure, state_view
from pages.components.shell import address, browser, current
from pages.components.shell.frame import errors_shown, frame
from pages.components.training import form
from transformer.config.limits import Limits
from transformer.errors import UserError
from transformer.files import remedy
from transformer.runs import directory, launch, queue
from transformer.runs.directory import ACTIVE, Run

DOUBLE_CLICK_SECONDS = 2.0
LATE_SECONDS = 3.0
"""A run may have ended before the browser has drawn that it is there."""
LIVE = ("queued", *ACTIVE)
TICK, FIRST_TICK, QUEUE_TICK = 1.0, 0.2, 3.0
"""Seconds between two looks at a run: at work, until its first numbers are there, and waiting."""


def begin(request: form.Request) -> None:
    """Start the run that the form describes; an error is kept for the form to show."""
    last = st.session_state.get("last start")
    if last and last[0] == request and time.monotonic() - last[1] < DOUBLE_CLICK_SECONDS:
        return  # the second half of a double click
    try:
        show(form.start(request, browser.admitted()).id)
        st.session_state["last start"] = (request, time.monotonic())
        st.session_state.pop("training problem", None)
    except UserError as error:
        st.session_state["training problem"] = (request, error)
    except OSError as error:
        sentence = f"The run could not be written: {error.strerror}. {remedy(error)}; try again."
        st.session_state["training problem"] = (request, UserError(sentence))


def show(run_id: str) -> None:
    """Have the page show another run; the newest, if no id is given."""
    if run_id:
        st.session_state["just shown"] = (run_id, st.session_state.get("run"), time.monotonic())
        st.session_state["run"] = run_id
        current.use_run(run_id)
        st.session_state.pop("deleted run", None)
    else:
        st.session_state.pop("just shown", None)
        st.session_state.pop("run", None)
        st.session_state.pop("kept run", None)
        st.query_params.pop("run", None)


def not_yet_drawn(known: Mapping[str, Run]) -> str:
    """The run that the browser was told to show and has not drawn; empty if it has.

    Until then the page's own timer sends the old choice along, which would be taken for a new one.
    """
    wanted, before, since = st.session_state.get("just shown", ("", "", 0.0))
    if wanted not in known:
        return ""
    sent = {st.query_params.get("run", before), st.session_state.get("run", before)}
    live = known[wanted].status().state in LIVE or time.monotonic() - since < LATE_SECONDS
    if sent <= {wanted, before} and live:
        return str(wanted)
    del st.session_state["just shown"]
    return ""


def drawn() -> None:
    """On the page's own timer: what the browser sends along tells what it has drawn."""
    wanted, before, _ = st.session_state.get("just shown", ("", "", 0.0))
    if st.query_params.get("run") == wanted and st.session_state.get("run") != before:
        st.session_state.pop("just shown", None)


def choose_run() -> Run | None:
    """The run that the address names, else the one chosen, else the newest."""
    known = {run.id: run for run in browser.visible(directory.list_runs())}

    def label(run: Run) -> str:
        about = run.about()
        made = time.strftime("%d %b, %H:%M:%S", time.localtime(about["created"]))
        return f"{about['name'] or run.id}, {made}"

    if wanted := not_yet_drawn(known):
        st.query_params["run"] = st.session_state["address run"] = wanted
        st.session_state["run"] = wanted
    # A teacher's link is for a run to come, not for the newest that happens to be there.
    default = "" if form.is_locked() else next(iter(known), "")
    named = st.query_params.get("run") or st.session_state.get("kept run")
    address.read("run", default)
    if not known and not st.session_state["run"]:
        st.info("No run yet. Choose a task and press Train: the default takes a minute or two.")
        return None
    chosen = address.choose("Run", {run.id: label(run) for run in known.values()}, "run")
    if chosen is None:
        return None
    last = st.session_state.get("run seen")
    st.session_state["run seen"] = chosen
    if chosen != last and (named or not current.model()):
        current.use_run(chosen)  # what the person looks at; not what only happens to be the newest
    return known[chosen]


def watch(run: Run) -> None:
    """Draw the run as it goes on while it is at work, and once more when it has ended."""
    state, begun = run.status().state, run.has_begun()
    live = state in LIVE
    if not live:  # what to do next stands above the evidence, which is long
        state_view(run)
        with st.container(horizontal=True, vertical_alignment="center"):
            if run.checkpoints():
                links(run)
            duplicate(run)
        afterwards(run, run.status(), show)

    first = True
    every = QUEUE_TICK if state == "queued" else TICK if begun else FIRST_TICK

    @st.fragment(run_every=every if live else None)
    def tick() -> None:
        nonlocal first
        with errors_shown():
            if not first:
                drawn()
            first = False
            queue.poll(run.path.parent)
            if not browser.may_see(run):  # its owner shares it no longer
                st.rerun()
            if live:
                status = state_view(run)
                turned = (status.state == "queued") is not (state == "queued")
                if turned or status.state not in LIVE or run.has_begun() is not begun:
                    st.rerun()
            evidence_view(run)

    tick()
    if run.checkpoints():
        health_button(run)
    if not live and st.toggle("The loss as a figure to save"):
        st.caption("The camera above the figure saves it as a picture.")
        st.plotly_chart(loss_figure(run))


with frame("Train", "Watch a Transformer learn, next to the same model untrained."):
    form.form(begin)
    st.subheader("Runs", divider="gray")
    undo_delete(show)
    run = choose_run()
    if run is not None:
        watch(run)
    if Limits.from_environment().keeps_ready and (run is None or run.status().state not in LIVE):
        launch.keep_one_ready()

"""Choose a task, train, and watch it learn against the untrained baseline."""

import time

import streamlit as st

from pages.components import address, training_form
from pages.components.frame import errors_shown, frame
from pages.components.run_view import loss_figure, run_view
from transformer import runs
from transformer.errors import UserError
from transformer.runs import ACTIVE, Run

DOUBLE_CLICK_SECONDS = 2.0


def begin(request: training_form.Request) -> None:
    """Start the run that the form describes; an error is kept for the form to show."""
    last = st.session_state.get("last start")
    if last and last[0] == request and time.monotonic() - last[1] < DOUBLE_CLICK_SECONDS:
        return  # the second half of a double click
    try:
        st.session_state["run"] = training_form.start(request).id
        st.session_state["last start"] = (request, time.monotonic())
        st.session_state.pop("training problem", None)
    except UserError as error:
        st.session_state["training problem"] = (request, error)
    except OSError as error:
        sentence = f"The run could not be written: {error.strerror}. Free some space, or see to it."
        st.session_state["training problem"] = (request, UserError(sentence))


def choose_run() -> Run | None:
    """The run that the address names, else the one chosen, else the newest."""
    known = {run.id: run for run in runs.list_runs()}

    def label(run: Run) -> str:
        about = run.about()
        made = time.strftime("%d %b, %H:%M:%S", time.localtime(about["created"]))
        return f"{about['name'] or run.id}, {made}"

    address.read("run", next(iter(known), ""))
    if not known and not st.session_state["run"]:
        st.info("No run yet. Choose a task and press Train: the default takes about a minute.")
        return None
    chosen = address.choose("Run", {run.id: label(run) for run in known.values()}, "run")
    return None if chosen is None else known[chosen]


def watch(run: Run) -> None:
    """Draw the run every second while it is active, and once more when it has ended."""
    active = run.status().state in ACTIVE

    @st.fragment(run_every=1.0 if active else None)
    def tick() -> None:
        with errors_shown():
            status = run_view(run)
            if active and status.state not in ACTIVE:
                st.rerun()

    tick()
    if not active and (checkpoints := run.checkpoints()):
        name = f"run-{run.id}-{checkpoints[-1].stem.removeprefix('step-')}"
        st.markdown("**Saved.** See what it learned, or take it along:")
        with st.container(horizontal=True):
            for page, text, icon in (
                ("pages/attention.py", "Look at its attention", ":material/grid_on:"),
                ("pages/decode.py", "Decode step by step", ":material/format_list_numbered:"),
                ("pages/checkpoints.py", "Check and download it", ":material/inventory_2:"),
            ):
                st.page_link(page, label=text, icon=icon, query_params={"checkpoint": name})
    if not active and st.toggle("The loss as a figure to save"):
        st.caption("The camera above the figure saves it as a picture.")
        st.plotly_chart(loss_figure(run))


with frame("Train", "Watch a Transformer learn, next to the same model untrained."):
    training_form.form(begin)
    st.subheader("Runs", divider="gray")
    run = choose_run()
    if run is not None:
        watch(run)

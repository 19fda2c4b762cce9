"""One run as it stands: state, curves against the baselines, answers, and what to do next."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.runs.controls import controls
from pages.components.runs.goals import goals_panel
from pages.components.runs.samples import samples_view
from pages.components.shared.history import history_of
from pages.components.shared.scores import score
from pages.components.shell import browser
from pages.components.shell.text import number, percent, plain, seconds
from pages.components.widgets.attention_timeline import attention_timeline
from pages.components.widgets.live_curve import live_curve
from transformer.config import RunConfig
from transformer.runs import queue
from transformer.runs.directory import ACTIVE, Run, Status
from transformer.runs.metrics import History, evaluated_on
from transformer.tasks import find_task
from transformer.training import compute

if TYPE_CHECKING:
    import plotly.graph_objects as go

ENOUGH_POINTS = 8
"""Before so many, an estimate of the time left would jump about."""
STATE_WORDS = {
    "queued": "waiting",
    "paused": "paused; what was learned is saved, and Resume goes on from here",
    "starting": "starting: loading PyTorch",
    "running": "training",
    "stopping": "stopping: evaluating and saving what was learned",
    "finished": "finished",
    "stopped": "stopped; what was learned is saved",
    "failed": "failed",
    "diverged": "diverged",
    "interrupted": "interrupted",
}


def state_view(run: Run) -> Status:
    """Draw the run's state and its controls; returns the status, to know whether to look again."""
    status = run.status()
    _state(run, run.config(), status, history_of(run))
    return status


def evidence_view(run: Run) -> None:
    """Draw what the run has shown so far: curves, numbers, goals, attention, answers."""
    config, history = run.config(), history_of(run)
    if not history.evaluations and run.status().state == "queued":
        st.caption("It begins by itself when its turn comes, whether or not this page is open.")
        return
    curves, samples = history.curves(config), history.samples
    # First, so that on a low screen, too, one sees the loss fall.
    live_curve(curves, key=f"curve {run.id}")
    _numbers(config, history)
    goals_panel(run, history)
    look_for = find_task(config.data.task).look_for
    attention_timeline(run, curves, samples, look_for, key=f"attention {run.id}")
    samples_view(samples, list(history.evaluations.values()))


def loss_figure(run: Run) -> "go.Figure":
    """The curves of a run as a Plotly figure, for export."""
    from transformer.figures.curves import loss_curves

    curves = history_of(run).curves(run.config())
    baselines = {
        "untrained model": curves["untrained"],
        "uniform guess, ln|V|": curves["uniform"],
        "guess by frequency (unigram)": curves["unigram"],
    }
    return loss_curves(
        curves["train"],
        curves["evaluation"],
        baselines,
        curves["evaluated_on"],
    )


def links(run: Run) -> None:
    """Where to go with what a run has learned."""
    step = run.checkpoints()[-1].stem.removeprefix("step-")
    st.markdown("**Saved.**", width="content")
    for page, text, icon in (
        ("pages/attention.py", "Look at its attention", ":material/grid_on:"),
        ("pages/decode.py", "Decode step by step", ":material/format_list_numbered:"),
        ("pages/checkpoints.py", "Check and download it", ":material/inventory_2:"),
    ):
        query = {"checkpoint": f"run-{run.id}-{step}"}
        st.page_link(page, label=text, icon=icon, query_params=query)


def _state(run: Run, config: RunConfig, status: Status, history: History) -> None:
    step = history.last_step()
    name = plain(run.about()["name"] or find_task(config.data.task).title)
    st.markdown(f"**{name}**: {_words(run, status, config, history)}.")
    if known := compute.read(run.path):
        st.caption(plain(known.sentence))
    controls(run, status)
    if status.state in ACTIVE:
        st.progress(min(step / config.training.steps, 1.0), text=_progress(config, history))
    elif status.reason:
        shown = st.info if status.state in ("paused", "stopped") else st.error
        shown(plain(status.reason), icon=":material/info:")
        # It names paths of the server.
        shows_log = status.state in ("failed", "interrupted") and browser.may_control(run)
        if shows_log and (log := run.log_tail()):
            with st.expander("The trainer's own output"):
                st.code(log, language=None)
    if status.state == "diverged" and len(run.checkpoints()) > 0:
        good = run.checkpoints()[-1].stem.removeprefix("step-")
        st.caption(
            f"The last good model, of step {int(good):,}, is kept: *Train on* goes on from it "
            "with a lower learning rate."
        )
    losses = history.series("loss")
    if status.state not in ACTIVE and losses and losses[-1][1] > losses[0][1]:
        st.warning("The model is worse than untrained. Try a lower learning rate.")


def _words(run: Run, status: Status, config: RunConfig, history: History) -> str:
    """The run's state in words."""
    if status.state == "queued":
        line = [other.id for other in queue.waiting(run.path.parent)]
        place = line.index(run.id) + 1 if run.id in line else 1
        return f"waiting for a trainer to be free, number {place} of {len(line)} in line"
    if status.state == "finished" and history.last_step() < config.training.steps:
        return f"finished early, since the loss fell below {config.training.until_loss:g}"
    if status.state == "running" and not history.evaluations:
        return "measuring the untrained model"
    if status.state == "running" and not history.train:
        return "the untrained model is measured; the first updates are under way"
    return STATE_WORDS.get(status.state, status.state)


def _progress(config: RunConfig, history: History) -> str:
    """Step, speed and time left, once there is enough to estimate them from."""
    step, steps = history.last_step(), config.training.steps
    text = f"Step {step:,} of {steps:,}"
    points = history.training()
    if len(points) > ENOUGH_POINTS:
        made, _, elapsed, seen = (
            now - then for then, now in zip(points[0], points[-1], strict=True)
        )
        rate, tokens = made / elapsed, seen / elapsed
        left = seconds((steps - step) / rate)
        text += f" · {rate:.0f} steps/s · {tokens:,.0f} tokens/s · about {left} left"
    return text


def _numbers(config: RunConfig, history: History) -> None:
    losses, exact = history.series("loss"), history.series("exact_match")
    with st.container(horizontal=True, gap="small"):
        if losses:
            score("Loss", number(losses[-1][1]), f"untrained {number(losses[0][1])}")
        if exact:
            score("Exact match", percent(exact[-1][1]), f"untrained {percent(exact[0][1])}")
        if records := [*history.train.values(), *history.evaluations.values()]:
            spent = max(record.seconds or 0.0 for record in records)
            steps = history.last_step()
            score("Time", seconds(spent), f"{steps:,} step{'' if steps == 1 else 's'}")
    if losses:
        zigzag = ""
        if not config.data.evaluates_on_training_pairs:
            zigzag = (
                " The grey line jumps up and down, as a batch holds inputs of about one length, "
                "and short ones are easier."
            )
        st.caption(
            f"Loss and exact match on {evaluated_on(config)}, at step {losses[-1][0]:,}.{zigzag}"
        )

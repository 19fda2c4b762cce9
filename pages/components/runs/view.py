"""One run: its verdict and state, curves against the baselines, answers, and what to do next."""

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.runs.actions import advised
from pages.components.runs.controls import controls, trouble
from pages.components.runs.goals import goals_panel, states
from pages.components.runs.gradients import gradients_panel
from pages.components.runs.hand_in import hand_in
from pages.components.runs.health import checks_panel
from pages.components.runs.samples import answers_view, errors_view, example_line
from pages.components.runs.settings import settings_table
from pages.components.runs.verdict import evidence_line, verdict_line
from pages.components.shared.history import history_of
from pages.components.shell import browser, model_warnings
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain, seconds
from pages.components.widgets.attention_timeline import attention_timeline
from pages.components.widgets.live_curve import live_curve
from transformer.config import RunConfig
from transformer.runs import queue
from transformer.runs.directory import ACTIVE, Run, Status
from transformer.runs.facts import RunFacts
from transformer.runs.goals import read_goals
from transformer.runs.health import read_health
from transformer.runs.metrics import History
from transformer.runs.verdict import verdict
from transformer.tasks import find_task
from transformer.training import compute

if TYPE_CHECKING:
    import plotly.graph_objects as go

TABS = ("Time slider", "Answers", "Errors", "Checks", "Settings", "Hand in")
ENOUGH_POINTS = 8
"""Number of training points needed to estimate the time left; with fewer it would fluctuate."""
STATE_WORDS = {
    "queued": "waiting",
    "paused": "paused; what was learned is saved",
    "starting": "starting: loading PyTorch",
    "running": "training",
    "stopping": "stopping: evaluating and saving what was learned",
    "finished": "finished",
    "stopped": "stopped; what was learned is saved",
    "failed": "failed",
    "diverged": "diverged",
    "interrupted": "interrupted",
}


def run_facts(run: Run) -> RunFacts:
    """All facts about a run, from its files as read so far."""
    history = history_of(run)
    return RunFacts.of(
        run.config(),
        run.status(),
        history.train,
        history.evaluations,
        read_goals(run.path),
        read_health(run.path),
    )


def state_view(run: Run) -> Status:
    """Draw the run's verdict, state and controls; returns the status that was drawn."""
    facts = run_facts(run)
    _state(run, facts, history_of(run))
    return facts.status


def evidence_view(run: Run) -> None:
    """Draw the run's results so far: curves, an example, and all others in tabs."""
    facts, history = run_facts(run), history_of(run)
    if not history.evaluations and facts.status.state == "queued":
        st.caption("It begins by itself when its turn comes, whether or not this page is open.")
        return
    curves, samples = history.curves(facts.config), history.samples
    # First, so that the falling loss is visible on a low screen, too.
    live_curve(curves, key=f"curve {run.id}")
    if example := example_line(samples):
        st.html(example)
    slider, answers, errors, checks, settings, handing_in = st.tabs(TABS)
    with slider:
        look_for = find_task(facts.config.data.task).look_for
        attention_timeline(run, curves, samples, look_for, key=f"attention {run.id}")
    with answers:
        answers_view(samples)
    with errors:
        errors_view(list(history.evaluations.values()))
    with checks:
        goals_panel(run, facts)
        if facts.status.state in ("queued", *ACTIVE):
            st.caption("The checks run by themselves when the run ends.")
        else:
            checks_panel(run, facts.health)
            gradients_panel(run)
    with settings:
        settings_table(facts.config)
        if known := compute.read(run.path):
            st.caption(plain(known.sentence))
        if facts.status.state not in ACTIVE and st.toggle("The loss as a figure to save"):
            st.caption("The camera above the figure saves it as a picture.")
            st.plotly_chart(loss_figure(run))
    with handing_in:
        if facts.status.state in ("queued", *ACTIVE):
            st.caption("The page to hand in can be made when the run has ended.")
        else:
            hand_in(run)


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
    """Links to pages that open on the run's newest checkpoint."""
    step = run.checkpoints()[-1].stem.removeprefix("step-")
    query = {"checkpoint": f"run-{run.id}-{step}"}
    link_to("Attention", "See its attention", query)
    link_to("Decode", "Decode with it", query)
    link_to("Checkpoints", "Its file", query)


def _state(run: Run, facts: RunFacts, history: History) -> None:
    """Draw the verdict first, then the state and the controls."""
    config, status = facts.config, facts.status
    live = status.state in ("queued", *ACTIVE)
    words = _words(run, status, config, history)
    words = words[0].upper() + words[1:]
    found = verdict(facts)
    with st.container(horizontal=True, vertical_alignment="center", key="verdict-line"):
        line = st.container()
        acts = not live and advised(run, found)
    with line:
        why = found.advice.removesuffix(found.next_step).rstrip()
        verdict_line(replace(found, advice=why) if acts else found)
    model_warnings.note(config.training.fault)
    if status.state in ACTIVE:
        share = min(history.last_step() / config.training.steps, 1.0)
        st.progress(
            share, text=f"{_words(run, status, config, history)}{_progress(config, history)}"
        )
    else:
        spent = max([0.0, *(one.seconds or 0.0 for one in history.evaluations.values())])
        took = f", after {seconds(spent)}" if spent else ""
        where = f", at step {history.last_step():,}{took}" if history.evaluations else ""
        goals = states(facts) if history.evaluations and not live else []
        evidence_line(f"{words}{where}.", goals, facts.health)
    if live:
        controls(run, status)
    trouble(run)
    if status.reason and not live:
        if status.state not in ("failed", "diverged"):  # there the verdict says it
            shown = st.info if status.state in ("paused", "stopped") else st.error
            shown(plain(status.reason), icon=":material/info:")
        # Only for the owner, because the log names paths of the server.
        shows_log = status.state in ("failed", "interrupted") and browser.may_control(run)
        if shows_log and (log := run.log_tail()):
            with st.expander("The trainer's own output"):
                st.code(log, language=None, wrap_lines=True)
    if status.state == "diverged" and len(run.checkpoints()) > 0:
        good = run.checkpoints()[-1].stem.removeprefix("step-")
        st.caption(
            f"The last good model, of step {int(good):,}, is kept: *Continue training* goes on "
            "from it with a lower learning rate."
        )


def _words(run: Run, status: Status, config: RunConfig, history: History) -> str:
    """The run's state in words."""
    if status.state == "queued":
        line = [other.id for other in queue.waiting(run.path.parent)]
        place = line.index(run.id) + 1 if run.id in line else 1
        return f"waiting for a trainer to be free, number {place} of {len(line)} in line"
    if status.state == "paused" and not history.evaluations:
        return "out of the queue, before it began; Resume puts it back in line"
    if status.state == "finished" and history.last_step() < config.training.steps:
        return f"finished early, since the loss fell below {config.training.until_loss:g}"
    if status.state == "running" and not history.evaluations:
        return "measuring the untrained model"
    if status.state == "running" and not history.train:
        return "the untrained model is measured; the first updates are under way"
    return STATE_WORDS.get(status.state, status.state)


def _progress(config: RunConfig, history: History) -> str:
    """Step and, once there are enough points, speed and time left, in words."""
    step, steps = history.last_step(), config.training.steps
    text = f" · step {step:,} of {steps:,}"
    points = history.training()
    if len(points) > ENOUGH_POINTS:
        made, _, elapsed, read = (
            now - then for then, now in zip(points[0], points[-1], strict=True)
        )
        rate, tokens = made / elapsed, read / elapsed
        left = seconds((steps - step) / rate)
        text += f" · {rate:.0f} steps/s · {tokens:,.0f} tokens/s · about {left} left"
    return text

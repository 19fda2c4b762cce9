"""Controls of a run: pause, resume, stop, continue training, delete, undo."""

import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.components.shell import browser
from pages.components.shell.frame import problem
from pages.components.shell.text import plain
from transformer.errors import RunError, UserError, explaining
from transformer.runs import queue, trash
from transformer.runs.directory import ACTIVE, ENDED, RESUMABLE, Run, Status
from transformer.runs.resume import resume, train_on

PATIENCE = 30.0
"""Seconds after a command after which a trainer that has not obeyed may be killed."""


def attempt(run: Run, action: Callable[..., Any], *arguments: Any) -> None:
    """Call ``action`` on the run; its error is stored, and shown beside the run."""
    st.session_state.pop("run problem", None)
    try:
        if not browser.may_control(run):
            raise RunError("Only the browser that started this run can do that.")
        with explaining("The run's directory could not be written"):
            action(run, *arguments)
    except UserError as error:
        st.session_state["run problem"] = (run.id, error)


def controls(run: Run, status: Status) -> None:
    """Draw the buttons that fit the run's state; ``trouble`` draws their errors."""
    if not browser.may_control(run):
        st.caption("Only the browser that started this run can control it.", width="content")
        return
    if status.state not in ("queued", *ACTIVE, *RESUMABLE):
        return
    with st.container(horizontal=True, width="content", key=f"controls {run.id}"):
        if status.state in ("starting", "running"):
            # First, because it appears where Resume was: a double click must not stop the run.
            _button(run, "Pause", ":material/pause:", _tell, "pause")
            _button(run, "Stop and keep what was learned", ":material/stop:", _tell, "stop")
        if status.state == "queued":
            _button(run, "Leave the queue", ":material/close:", queue.command, "pause")
        if status.state in RESUMABLE:
            _button(run, "Resume", ":material/play_arrow:", resume)
        if status.state in ACTIVE and _overdue(run):
            _button(run, "End it at once", ":material/dangerous:", queue.kill)


def trouble(run: Run) -> None:
    """Draw the error of the last action on this run, if it failed."""
    refused = st.session_state.get("run problem")
    if refused is not None and refused[0] == run.id:
        problem(refused[1])


def _button(run: Run, label: str, icon: str, action: Callable[..., Any], *arguments: Any) -> None:
    st.button(
        label,
        icon=icon,
        key=f"{label} {run.id}",
        on_click=attempt,
        args=(run, action, *arguments),
    )


def _tell(run: Run, word: str) -> None:
    queue.command(run, word)
    st.session_state[f"told {run.id}"] = time.monotonic()


def _overdue(run: Run) -> bool:
    """Whether the trainer was sent a command more than PATIENCE ago in this session."""
    return time.monotonic() - st.session_state.get(f"told {run.id}", float("inf")) > PATIENCE


def afterwards(run: Run, status: Status, go_to: Callable[[str], None]) -> None:
    """Draw buttons for a run that is not at work: continue training, delete.

    Args:
        go_to: shows another run; called with its id, or "" for the newest.
    """
    if not browser.may_control(run):
        return
    with st.container(horizontal=True, width="content", gap="xxsmall"):
        if status.state in (*ENDED, *RESUMABLE) and run.checkpoints():
            with st.popover("Continue training…", icon=":material/fast_forward:"):
                _train_on(run, status, go_to)
        st.button(
            "Delete",
            icon=":material/delete:",
            key=f"delete {run.id}",
            on_click=_delete,
            args=(run, go_to),
        )


def _train_on(run: Run, status: Status, go_to: Callable[[str], None]) -> None:
    training = run.config().training
    st.markdown(
        "A new run goes on from the last snapshot of this one, with its weights, optimizer and "
        "history. The learning rate follows the schedule of the longer run, and falls at its end."
    )
    st.number_input("Updates to add", value=training.steps, step=100, key=f"more steps {run.id}")
    # The rate at which a run diverged would make the next diverge, too.
    rate = training.learning_rate / 10 if status.state == "diverged" else training.learning_rate
    st.number_input(
        "Highest learning rate", value=rate, format="%g", step=rate / 10, key=f"rate {run.id}"
    )

    def begin(run: Run) -> None:
        # Read at the click, which may arrive together with a change.
        steps, rate = (st.session_state[f"{name} {run.id}"] for name in ("more steps", "rate"))
        made = train_on(run, int(steps), learning_rate=rate, owner=browser.admit_owner())
        resume(made)
        go_to(made.id)

    st.button(
        "Continue training",
        type="primary",
        key=f"train on {run.id}",
        on_click=attempt,
        args=(run, begin),
    )


def _delete(run: Run, go_to: Callable[[str], None]) -> None:
    def move(run: Run) -> None:
        name = run.about()["name"] or run.id
        trash.delete(run)
        st.session_state["deleted run"] = (run.id, name)
        go_to("")

    attempt(run, move)


def undo_delete(go_to: Callable[[str], None]) -> None:
    """After a run was deleted: say so, with a button that restores it."""
    deleted = st.session_state.get("deleted run")
    if deleted is None:
        return
    run_id, name = deleted

    def restore() -> None:
        del st.session_state["deleted run"]
        try:
            go_to(trash.restore(run_id).id)
        except UserError as error:
            st.session_state["run problem"] = (run_id, error)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(
            f"The run {plain(name)} is in the trash.", icon=":material/delete:", width="stretch"
        )
        st.button("Undo", on_click=restore, key="undo delete", icon=":material/undo:")

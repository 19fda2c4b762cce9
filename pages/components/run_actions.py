"""What one can do with a run: watch it, change a copy, train on, name it, share it, delete it."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.components.frame import problem
from pages.components.landing import link_of, may_control, token_hash, visible
from pages.components.text import plain
from transformer import run_queue
from transformer.errors import UserError
from transformer.run_history import DAMAGED, Summary
from transformer.runs import ACTIVE, Run

ENDS = ("finished", "stopped", "failed", "interrupted", "paused")
"""States in which a run has weights to go on from, if it has any."""
PROBLEM, DELETED, STARTED = "run problem", "deleted run", "run trained on"


def attempt(action: Callable[..., Any], *arguments: Any) -> bool:
    """Do it in a callback; what goes wrong is kept for the page to show."""
    for key in (PROBLEM, DELETED, STARTED):
        st.session_state.pop(key, None)
    try:
        action(*arguments)
    except UserError as error:
        st.session_state[PROBLEM] = error
    except OSError as error:
        sentence = f"The run could not be changed: {error.strerror}. It may have been deleted."
        st.session_state[PROBLEM] = UserError(sentence)
    return PROBLEM not in st.session_state


def outcome() -> None:
    """What the last action came to, with its undo."""
    if PROBLEM in st.session_state:
        problem(st.session_state[PROBLEM])
    if DELETED in st.session_state:
        run_id, name = st.session_state[DELETED]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/delete: {plain(name)} is in the trash.", width="content")
            st.button("Undo", on_click=_restore, args=(run_id,), key="undo delete")
    if STARTED in st.session_state:
        st.page_link(
            "pages/train.py",
            label="The run goes on as a new one. Watch it",
            icon=":material/show_chart:",
            query_params={"run": st.session_state[STARTED]},
        )


def run_actions(
    run: Run, summary: Summary, on_delete: Callable[[str], None], *, owned: bool
) -> None:
    """Everything for one run; only whoever may control it gets more than links.

    Args:
        owned: whether runs belong to the browser that started them, and can be private.
        on_delete: called with the id once the run is in the trash.
    """
    if summary.reason:
        st.markdown(plain(summary.reason))
    with st.container(horizontal=True):
        if summary.state != DAMAGED:
            st.page_link(
                "pages/train.py",
                label="Watch it",
                icon=":material/show_chart:",
                query_params={"run": run.id},
            )
            st.page_link(
                "pages/train.py",
                label="Duplicate and change",
                icon=":material/content_copy:",
                query_params=link_of(run.config()),
            )
    if not may_control(run):
        st.caption("Another browser started this run; only there can it be changed.")
        return
    left, right = st.columns(2)
    for column, widget, field, value, limit in (
        (left, st.text_input, "name", summary.name, 200),
        (right, st.text_area, "notes", summary.notes, 10_000),
    ):
        key = f"{field} {run.id}"
        with column:
            widget(
                field.capitalize(),
                value,
                max_chars=limit,
                key=key,
                on_change=_change,
                args=(run, field, key),
            )
    with left.container(horizontal=True, vertical_alignment="center"):
        if owned and summary.own_pairs:
            st.toggle(
                "Shared with everyone who uses this server",
                summary.shared,
                key=f"shared {run.id}",
                on_change=_change,
                args=(run, "shared", f"shared {run.id}"),
            )
        if summary.state in ENDS:
            _train_on(run, summary)
        st.button(
            "Stop and delete" if summary.state in ACTIVE else "Delete",
            icon=":material/delete:",
            key=f"delete {run.id}",
            on_click=_delete,
            args=(run, summary, on_delete),
            help="Moves the run to the trash, from where it can be brought back.",
        )


def _change(run: Run, field: str, key: str) -> None:
    def change() -> None:
        run.change(**{field: st.session_state[key]})

    attempt(change)


def _delete(run: Run, summary: Summary, on_delete: Callable[[str], None]) -> None:
    if attempt(run_queue.delete, run):
        st.session_state[DELETED] = (run.id, summary.title)
        on_delete(run.id)


def _restore(run_id: str) -> None:
    attempt(run_queue.restore, run_id)


def _train_on(run: Run, summary: Summary) -> None:
    with st.popover("Train on", icon=":material/resume:"):
        st.caption(
            "A new run that starts from this one's last weights, with a schedule of its own."
        )
        steps = st.number_input(
            "More steps", 1, 1_000_000, summary.steps or 1, key=f"more {run.id}"
        )
        rate = st.number_input(
            "Learning rate", value=run.config().training.learning_rate, format="%g",
            step=1e-4, key=f"rate {run.id}",
        )  # fmt: skip
        st.button(
            "Train on", type="primary", key=f"on {run.id}", on_click=_go_on, args=(run, steps, rate)
        )


def _go_on(run: Run, steps: int, rate: float) -> None:
    def go_on() -> None:
        made = run_queue.train_on(run, steps, learning_rate=rate, owner=token_hash())
        st.session_state[STARTED] = made.id
        run_queue.resume(made)

    attempt(go_on)


def trash_list() -> None:
    """Deleted runs, each with a way back."""
    gone = visible(run_queue.trash())
    if not gone:
        return
    with st.expander(f"Trash ({len(gone)})", icon=":material/delete:"):
        for run in gone:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button("Restore", key=f"restore {run.id}", on_click=_restore, args=(run.id,))
                st.markdown(plain(run.about()["name"] or run.id), width="content")

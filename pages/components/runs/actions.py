"""The Runs page's actions for one run beside its controls: links, name, notes, sharing, trash."""

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from pages.components.runs.controls import afterwards, attempt, controls, trouble
from pages.components.shell import browser
from pages.components.shell.frame import problem
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain
from pages.components.stores import pairs
from pages.components.training import form
from pages.components.training.chosen import FORM, VIEW
from transformer.config.limits import Limits
from transformer.runs import trash
from transformer.runs.directory import ACTIVE, Run, Status
from transformer.runs.table import DAMAGED, Summary
from transformer.runs.verdict import Verdict, advised_settings


def duplicate(run: Run) -> None:
    """A button that opens the form with the run's settings, and its own pairs if it has any.

    Not a link, which on the form's own page would be highlighted as the current page.
    """
    if not st.button(
        "Copy settings to the form",
        icon=":material/content_copy:",
        type="tertiary",
        key=f"duplicate {run.id}",
    ):
        return
    open_form(run)


def open_form(run: Run, **training: float | int) -> None:
    """Open the form of the Train page with the run's settings, except those in ``training``."""
    kept = ""
    if run.data_file is not None:
        kept = pairs.keep_run(run.data_file, run.about()["name"] or run.id, browser.owner())
    config = run.config()
    if config.training.threads == Limits.from_environment().threads:
        # The number was this server's default; with 0, any server uses its own.
        config = replace(config, training=config.training.replace(threads=0))
    config = replace(config, training=config.training.replace(**training))
    st.session_state[VIEW] = FORM
    st.session_state.pop("just shown", None)
    st.switch_page("pages/train.py", query_params=form.link_of(config, kept))


def advised(run: Run, found: Verdict) -> bool:
    """Draw a verdict's advice as a button that fills the form; False if it names no settings."""
    settings = advised_settings(found, run.config())
    label = found.next_step.rstrip(".").replace("and train again", "in the form")
    if settings and st.button(
        label, icon=":material/build:", type="primary", key=f"advised {run.id}"
    ):
        open_form(run, **settings)
    return bool(settings)


def run_actions(run: Run, summary: Summary, go_to: Callable[[str], None]) -> None:
    """Draw everything for one run; users who may not control it get only links.

    Args:
        go_to: called with the id of a run that was made from this one, or "" after its deletion.
    """
    if summary.reason:
        st.markdown(plain(summary.reason))
    sound = summary.state != DAMAGED
    if sound:
        with st.container(horizontal=True, vertical_alignment="center"):
            link_to("Train", "Watch it", {"run": run.id})
            duplicate(run)
    # A damaged run can only be deleted.
    status = run.status() if sound else Status(DAMAGED)
    controls(run, status)
    trouble(run)
    if browser.may_control(run):
        _about(run, summary)
        if status.state not in (*ACTIVE, "queued"):
            afterwards(run, status, go_to)


def _about(run: Run, summary: Summary) -> None:
    """Fields for name, notes, and whether others see the run."""
    left, right = st.columns(2)
    with left:
        key = f"name {run.id}"
        st.text_input(
            "Name", summary.name, max_chars=200, key=key, on_change=_change, args=(run, "name", key)
        )
        if Limits.from_environment().owned and summary.own_pairs:
            key = f"shared {run.id}"
            st.toggle(
                "Shared with everyone who uses this server",
                summary.shared,
                key=key,
                on_change=_change,
                args=(run, "shared", key),
            )
    with right:
        key = f"notes {run.id}"
        st.text_area(
            "Notes",
            summary.notes,
            max_chars=10_000,
            height=80,
            key=key,
            on_change=_change,
            args=(run, "notes", key),
        )


def _change(run: Run, field: str, key: str) -> None:
    attempt(run, lambda run: run.change(**{field: st.session_state[key]}))


def problem_of_others(shown: list[str]) -> None:
    """Draw the error of a run that is not shown; other errors are drawn beside their run."""
    refused = st.session_state.get("run problem")
    if refused is not None and refused[0] not in shown:
        problem(refused[1])


def trash_list() -> None:
    """Draw deleted runs, each with a button that restores it."""
    gone = browser.visible_runs(trash.deleted_runs())
    if not gone:
        return
    with st.expander(f"Trash ({len(gone)})", icon=":material/delete:"):
        for run in gone:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button("Restore", key=f"restore {run.id}", on_click=_restore, args=(run,))
                st.markdown(plain(run.about()["name"] or run.id), width="content")


def _restore(run: Run) -> None:
    st.session_state.pop("deleted run", None)
    attempt(run, lambda run: trash.restore(run.id))

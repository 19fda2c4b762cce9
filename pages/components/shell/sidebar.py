"""The sidebar of every page: current model, links to the other pages, runs in progress."""

from collections.abc import Mapping
from html import escape

import streamlit as st

from pages.components.shell import browser, current, models
from pages.components.shell.known_runs import own_runs
from pages.components.shell.teacher import for_teachers
from pages.components.shell.text import Html, plain
from transformer.runs import queue
from transformer.runs.directory import ACTIVE
from transformer.runs.table import Summary
from transformer.vocabulary.vocabulary import visible

PAGES = (
    ("app.py", "Overview", ":material/home:"),
    ("pages/train.py", "Train", ":material/show_chart:"),
    ("pages/runs.py", "Runs", ":material/history:"),
    ("pages/attention.py", "Attention", ":material/grid_on:"),
    ("pages/decode.py", "Decode", ":material/format_list_numbered:"),
    ("pages/checkpoints.py", "Checkpoints", ":material/inventory_2:"),
    ("pages/learn.py", "Learn", ":material/school:"),
    ("pages/debug.py", "Debug", ":material/bug_report:"),
)
AT_WORK = ("queued", *ACTIVE)
LOOK_SECONDS, WAIT_SECONDS = 2.0, 10.0
"""Seconds between two updates of runs that train, and of runs that only wait."""
MOST_RUNS = 3
MOST_OWN = 12
"""Maximum number of of the user's own models in the dialog; the field on a page lists all."""


def link_to(page: str, label: str, query: Mapping[str, str] | None = None) -> None:
    """A link to the page of this title, with its icon."""
    path, icon = next((path, icon) for path, title, icon in PAGES if title == page)
    st.page_link(path, label=label, icon=icon, query_params=query)


class Sidebar:
    """The sidebar, drawn before the page, and again after it if the current model has changed."""

    def __init__(self, page: str) -> None:
        self.drawn = self._now()
        with st.sidebar:
            st.markdown("**Transformer Workbench**")
            with st.container(key="current-model"):
                # st.empty removes what was drawn there before, so it is filled at once.
                self.chip = st.empty()
                self._draw_chip()
                if st.button("change", key="change model", type="tertiary", help="Another model"):
                    _choose()
            self.links = st.empty()
            self._draw_links()
            _runs_at_work(page)
            _your_name()
            for_teachers()

    def _now(self) -> tuple[Html, dict[str, str]]:
        return _chip(), current.query()

    def _draw_chip(self) -> None:
        self.chip.html(self.drawn[0])

    def _draw_links(self) -> None:
        query = self.drawn[1]
        run = models.run_of(query.get("checkpoint", ""))
        carried = {
            "Attention": query,
            "Decode": query,
            "Learn": query,
            "Checkpoints": {name: query[name] for name in query if name == "checkpoint"},
            "Train": {} if run is None else {"run": run[0].id},
        }
        with self.links.container(gap="xxsmall"):
            for path, label, icon in PAGES:
                st.page_link(path, label=label, icon=icon, query_params=carried.get(label))

    def update(self) -> None:
        """After the page: redraw model and links if the current model or input has changed."""
        if (now := self._now()) != self.drawn:
            self.drawn = now
            self._draw_chip()
            self._draw_links()


def _chip() -> Html:
    shown = st.session_state.get("checkpoint") or current.model() or models.FIRST
    entry, run = models.find(shown), models.run_of(shown)
    if entry is not None:
        name, detail = entry.name, entry.detail
    elif run is not None:
        waits = run[1].state in AT_WORK
        name, detail = run[1].title, f"nothing saved{' yet' if waits else ''}"
    else:
        name, detail = "none", ""
    name, detail = escape(visible(name)), escape(detail)
    return Html(
        f'<div class="current-model"><small>Current model</small>'
        f'<b title="{name}">{name}</b><span>{detail}</span></div>'
    )


@st.dialog("Choose a model")
def _choose() -> None:
    """Dialog that chooses the model on which every page opens."""
    entries = models.listed_checkpoints()
    newest: dict[object, models.Listed] = {}  # one entry per run
    for entry in entries.values():
        newest.setdefault(entry.path.parent if entry.id.startswith("run-") else entry.id, entry)
    own = [entry for entry in newest.values() if entry.own]
    for title, group in (
        ("Yours, newest first", own[:MOST_OWN]),
        ("Bundled", [entry for entry in newest.values() if entry.path.parent == models.BUNDLED]),
    ):
        if group:
            st.caption(title)
        for entry in group:
            label = f"**{plain(entry.name)}** {plain(entry.detail)}"
            if st.button(label, key=f"use {entry.id}", type="tertiary", width="stretch"):
                st.session_state["use model"] = entry.id
                st.rerun()


def take_choice() -> None:
    """Before the page: make the model that was chosen in the dialog current."""
    if name := st.session_state.pop("use model", None):
        current.set_model(name)


def _your_name() -> None:
    """Field for the user's name, which is shown in lists of runs and on pages to hand in."""
    known = browser.user_name()
    with st.popover(plain(known) or "Your name", icon=":material/person:", type="tertiary"):
        browser.user_name_field("Your name", "your name")
        st.caption("Everyone who can see the runs you start from now on sees it beside them.")


def _runs_at_work(page: str) -> None:
    """Progress of the user's own runs that train or wait; the Train page shows them itself."""
    at_work = [] if page == "Train" else _at_work()
    if not at_work:
        return
    waits = all(summary.state == "queued" for summary in at_work)

    @st.fragment(run_every=WAIT_SECONDS if waits else LOOK_SECONDS)
    def look() -> None:
        queue.poll()
        found = _at_work()
        before: list[str] = st.session_state.setdefault("runs at work", [])
        ids = st.session_state["runs at work"] = [one.id for one in found]
        if before and set(before) - set(ids):
            st.rerun(scope="app")  # one has ended: its model may be the current one
        for summary in found[:MOST_RUNS]:
            _progress(summary)
        if len(found) > MOST_RUNS:
            st.caption(f"and {len(found) - MOST_RUNS} more")

    st.session_state.pop("runs at work", None)
    look()


def _at_work() -> list[Summary]:
    return [summary for _, summary in own_runs().values() if summary.state in AT_WORK]


def _progress(summary: Summary) -> None:
    with st.container(key=f"at-work-{summary.id}", gap="xxsmall"):
        st.page_link(
            "pages/train.py",
            label=plain(summary.title),
            icon=":material/model_training:",
            query_params={"run": summary.id},
        )
        share = min(summary.step / summary.steps, 1.0) if summary.steps else 0.0
        words = f"{100 * share:.0f} %" if summary.state == "running" else summary.state
        st.progress(share, text=words)

"""The Train page: choose a task, train, and watch it learn against the untrained baseline.

It shows either the form or one run, with a button above the run that leads back to the form.
"""

import time
from collections.abc import Mapping

import streamlit as st

from pages.components.runs.actions import duplicate
from pages.components.runs.controls import afterwards, controls, undo_delete
from pages.components.runs.view import evidence_view, links, state_view
from pages.components.shell import address, browser, current
from pages.components.shell.clock import when
from pages.components.shell.frame import errors_shown, frame
from pages.components.shell.known_runs import known_runs, own_runs
from pages.components.training import form
from pages.components.training.chosen import FORM, RUN, VIEW
from transformer.config.limits import Limits
from transformer.errors import UserError
from transformer.files import remedy
from transformer.runs import directory, launch, queue
from transformer.runs.directory import ACTIVE, ENDED, Run
from transformer.runs.health import read_health

LATE_SECONDS = 3.0
"""Seconds in which the browser may not have drawn a started run yet, even if the run has ended, and
in which an address may be older than the user's last action."""
LIVE = ("queued", *ACTIVE)
TICK, FIRST_TICK, QUEUE_TICK = 1.0, 0.2, 3.0
"""Seconds between two updates of a run: training, before its first numbers, and waiting."""
CHECK_SECONDS = 60.0
"""Seconds after a run's end during which the page waits for its health check."""


def begin(request: form.Request) -> None:
    """Start the run that the form describes; an error is stored for the form to show."""
    last = st.session_state.get("last start")
    if last and last[0] == request and _is_at_work(last[1]):
        show(last[1])  # a second click: the same settings and seed would give the same run
        st.rerun()
    try:
        run = form.start(request, browser.admit_owner())
    except UserError as error:
        st.session_state["training problem"] = (request, error)
    except OSError as error:
        sentence = f"The run could not be written: {error.strerror}. {remedy(error)}; try again."
        st.session_state["training problem"] = (request, UserError(sentence))
    else:
        show(run.id)
        st.session_state["last start"] = (request, run.id)
        st.session_state.pop("training problem", None)
        st.rerun()


def _is_at_work(run_id: str) -> bool:
    run = Run(directory.ROOT / run_id)
    return (run.path / "config.json").exists() and run.status().state in LIVE


def show(run_id: str) -> None:
    """Make the page show another run; without an id, the newest or the form."""
    st.session_state[VIEW] = RUN
    if run_id:
        st.session_state["just shown"] = (run_id, st.session_state.get("run"), time.monotonic())
        st.session_state["run"] = run_id
        current.set_run(run_id)
        st.session_state.pop("deleted run", None)
    else:
        st.session_state.pop("just shown", None)
        st.session_state.pop("run", None)
        st.session_state.pop("kept run", None)
        st.query_params.pop("run", None)


def not_yet_drawn(known: Mapping[str, Run]) -> str:
    """Id of the run that the browser was sent but has not drawn yet; empty if it has.

    Until then the page's timer sends the old choice, which must not be taken for a new one.
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
    """At the page's timer: the values that the browser sends show whether it has drawn the run."""
    wanted, before, _ = st.session_state.get("just shown", ("", "", 0.0))
    if st.query_params.get("run") == wanted and st.session_state.get("run") != before:
        st.session_state.pop("just shown", None)


# --- Form or run -------------------------------------------------------------------------


def _named() -> dict[str, str]:
    """The address's parameters that belong to this page."""
    names = (*form.PARAMETERS, "run")
    return {name: value for name, value in st.query_params.items() if name in names}


def is_form(known: Mapping[str, Run]) -> bool:
    """Whether to show the form, not a run: as the address says, else as before, else the form for
    users who have no run of their own."""
    if not_yet_drawn(known):
        return False
    state, now = st.session_state, _named()
    late = time.monotonic() - state.get("train address time", -LATE_SECONDS) < LATE_SECONDS
    if now and now != state.get("train address") and not late:
        state[VIEW] = RUN if "run" in now else FORM
    state.setdefault(VIEW, RUN if own_newest(known) else FORM)
    return bool(state[VIEW] == FORM)


def left() -> None:
    """At the page's end: remember the address, and when it changed."""
    now = _named()
    if now != st.session_state.get("train address"):
        st.session_state["train address"] = now
        st.session_state["train address time"] = time.monotonic()


def own_newest(known: Mapping[str, Run]) -> str:
    """The newest run of this browser; empty if there is none."""
    return next((name for name in own_runs() if name in known), "")


def new_run() -> None:
    st.session_state[VIEW] = FORM
    st.session_state.pop("just shown", None)


# --- One run -----------------------------------------------------------------------------


def label_of(run: Run) -> str:
    """A run's name, its author, and when it was made, in the browser's time zone."""
    about = run.about()
    by = f" by {about['author']}" if about["author"] else ""
    return ", ".join(filter(None, (f"{about['name'] or run.id}{by}", when(about["created"]))))


def choose_run(known: Mapping[str, Run]) -> Run | None:
    """The run that the address names, else the one chosen, else the user's newest."""
    if wanted := not_yet_drawn(known):
        st.session_state["address run"] = st.session_state["run"] = wanted
        others = {name: value for name, value in st.query_params.items() if name not in _named()}
        if _named() != {"run": wanted}:
            st.query_params.from_dict({**others, "run": wanted})
    named = st.query_params.get("run") or st.session_state.get("kept run")
    address.read("run", own_newest(known) or next(iter(known), ""))
    line = st.container(horizontal=True, vertical_alignment="bottom", key="run-line")
    with line:
        labels = {run.id: label_of(run) for run in known.values()}
        chosen = address.choose("Run", labels, "run", label_shown=False)
        st.button("New run", icon=":material/add:", key="new run", on_click=new_run)
    if chosen is None:
        return None
    last = st.session_state.get("run seen")
    st.session_state["run seen"] = chosen
    if chosen != last and (named or not current.model()):
        current.set_run(chosen)  # if the user asked for it, not if it is only the newest
    return known[chosen]


def watch(run: Run) -> None:
    """Draw a run every second or so while it is at work, and once when it has ended."""
    state, begun = run.status().state, run.has_begun()
    live = state in LIVE
    if not live:
        # Like a fragment, in a container: what was drawn while the run was live is then replaced
        # at once, place by place. Otherwise both would stand on the page for a moment.
        with st.container(gap="xsmall"):
            state_view(run)
            with st.container(
                horizontal=True, vertical_alignment="center", gap="xxsmall", key="run-actions"
            ):
                controls(run, run.status())
                if run.checkpoints():
                    links(run)
                duplicate(run)
                afterwards(run, run.status(), show)
            wait_for_checks(run)
            evidence_view(run)
        return

    first = True

    @st.fragment(run_every=QUEUE_TICK if state == "queued" else TICK if begun else FIRST_TICK)
    def tick() -> None:
        nonlocal first
        with errors_shown():
            if not first:
                drawn()
            first = False
            queue.poll(run.path.parent)
            if not browser.may_see(run):  # its owner shares it no longer
                st.rerun()
            status = state_view(run)
            turned = (status.state == "queued") is not (state == "queued")
            if turned or status.state not in LIVE or run.has_begun() is not begun:
                st.rerun()
            evidence_view(run)

    tick()


def wait_for_checks(run: Run) -> None:
    """Redraw once the trainer has made the health check after a run's end: it may change the
    verdict."""
    status = run.path / "status.json"
    if run.status().state not in ENDED or read_health(run.path) is not None:
        return
    try:
        left = status.stat().st_mtime + CHECK_SECONDS - time.time()
    except OSError:
        return
    if left <= 0:
        return

    @st.fragment(run_every=TICK)
    def tick() -> None:
        if (
            read_health(run.path) is not None
            or time.time() > status.stat().st_mtime + CHECK_SECONDS
        ):
            st.rerun()
        st.caption("The checks are running.")

    tick()


with frame("Train", "Watch a Transformer learn, next to the same model untrained."):
    known = {name: run for name, (run, _) in known_runs().items()}
    undo_delete(show)
    run = None
    if is_form(known):
        form.form(begin)
    else:
        with st.container(gap="xsmall"):
            run = choose_run(known)
            if run is not None:
                watch(run)
    left()
    if Limits.from_environment().keeps_ready and (run is None or run.status().state not in LIVE):
        launch.keep_one_ready()

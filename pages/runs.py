"""The Runs page: find runs, compare several, rename and delete."""

from functools import partial
from urllib.parse import quote, unquote

import streamlit as st

from pages.components.runs.actions import problem_of_others, run_actions, trash_list
from pages.components.runs.comparison import comparison
from pages.components.runs.controls import undo_delete
from pages.components.runs.hand_in import any_handed_in, handed_in
from pages.components.shared.download import download
from pages.components.shell import address, browser
from pages.components.shell.frame import errors_shown, frame
from pages.components.shell.known_runs import known_runs
from pages.components.shell.sidebar import link_to
from pages.components.shell.text import plain
from pages.components.widgets.run_table import run_table
from transformer.config.limits import Limits
from transformer.runs import directory, queue
from transformer.runs import table as run_history
from transformer.runs.directory import Run
from transformer.runs.table import DAMAGED, Summary

MOST = 8  # runs compared at once; more could not be told apart
WHOSE = {"mine": "Mine", "all": "All"}
AT_FIRST = 100  # rows of the table until the user asks for all
NEWEST_FIRST = "-when"
MOVING = ("queued", *directory.ACTIVE)
LOOK_SECONDS = 3.0


def look() -> dict[str, tuple[Run, Summary]]:
    """Every run that this browser may see, by id, newest first."""
    queue.poll()
    return known_runs()


def chosen_ids() -> list[str]:
    """The chosen runs, as the address has them: ids joined by commas."""
    return [unquote(name) for name in st.session_state.get("runs", "").split(",") if name]


def choose(ids: list[str]) -> None:
    st.session_state["runs"] = ",".join(quote(name, safe="") for name in ids)


def take_choice() -> None:
    """Callback of a tick in the table, which sends the ids of all chosen runs."""
    sent = st.session_state["run table"]["chosen"]
    st.session_state["choice turn"] = sent["turn"]
    choose(sent["ids"][:MOST])


def add(name: str) -> None:
    """Choose one more run, such as one made by training on, or restored from the trash."""
    choose([*chosen_ids(), name][-MOST:])


def leave_out(name: str) -> None:
    choose([one for one in chosen_ids() if one != name])


def sort() -> None:
    if (order := st.session_state["run table"]["order"]) is not None:
        st.session_state["order"] = order


def watch() -> None:
    st.session_state["watch run"] = st.session_state["run table"]["watch"]


def mine_or_all(known: dict[str, tuple[Run, Summary]]) -> list[tuple[Run, Summary]]:
    """All runs; where runs have owners, a field chooses between the user's own and all."""
    if not Limits.from_environment().owned:
        return list(known.values())
    whose = address.option(st.segmented_control, "Whose", WHOSE, "whose", "all", required=True)
    rows = known.values()
    return [row for row in rows if whose == "all" or browser.owns(row[1].owner)]


def table(known: dict[str, tuple[Run, Summary]]) -> None:
    """Search, the table, and its export."""
    address.read("search", "")
    address.read("order", NEWEST_FIRST)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search in names, tasks, states and notes", key="search", max_chars=200
        )
        address.write("search", text)
        order = st.session_state["order"] or NEWEST_FIRST
        address.write("order", order, NEWEST_FIRST)
        found = run_history.search((summary for _, summary in mine_or_all(known)), text)
        found = run_history.ordered(found, order)
        download("Table as CSV", lambda: run_history.table_csv(found), "runs.csv")
    if not found:
        st.info("No run has all these words.")
        return
    everything = st.session_state.get("all rows", False) or len(found) <= AT_FIRST
    run_table(
        found if everything else found[:AT_FIRST],
        chosen_ids(),
        st.session_state.get("choice turn", 0),
        order,
        owned=Limits.from_environment().owned,
        most=MOST,
        key="run table",
        on_chosen=take_choice,
        on_order=sort,
        on_watch=watch,
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        many = f"{len(known):,} run{'' if len(known) == 1 else 's'}"
        many = f"{len(found):,} of {many}" if text else many
        picked = f", {len(chosen_ids())} chosen" if chosen_ids() else ""
        st.caption(
            f"{many}{picked}. Tick one to rename it, train it on or delete it; tick up to {MOST} "
            "to compare them. A click on a name opens the run."
        )
        if not everything:
            st.button(f"Show all {len(found):,}", key="all rows button", on_click=show_all)
        if chosen_ids():
            st.button("Choose none", key="none", on_click=choose, args=([],))


def show_all() -> None:
    st.session_state["all rows"] = True


def go_on(before: str, after: str) -> None:
    """Update the choice after a run was deleted (``after`` is "") or another was made of it."""
    if after:
        add(after)
    else:
        leave_out(before)


def details(known: dict[str, tuple[Run, Summary]]) -> None:
    """The chosen runs: their comparison, and the actions for each."""
    ids = chosen_ids()[:MOST]
    for name in (name for name in ids if name not in known):
        st.warning(
            f"The run {plain(name[:60])} is not here. It may have been deleted, or belong to "
            "another server."
        )
    picked = [known[name] for name in dict.fromkeys(ids) if name in known]
    if not picked:
        return
    title = "One run" if len(picked) == 1 else f"{len(picked)} runs side by side"
    st.subheader(title, divider="gray")
    alone = len(picked) == 1
    if not alone:
        with errors_shown():
            comparison([run for run, _ in picked], [summary for _, summary in picked])
    for run, summary in picked:
        opened = alone or summary.state == DAMAGED
        with st.expander(plain(summary.title), expanded=opened), errors_shown():
            run_actions(run, summary, partial(go_on, run.id))
    if alone:
        with errors_shown():
            comparison([picked[0][0]], [picked[0][1]])


def follow(drawn: dict[str, tuple[Run, Summary]]) -> None:
    """Redraw the page when a run has changed, as long as any run is waiting or at work."""
    if not any(summary.state in MOVING for _, summary in drawn.values()):
        return
    before = [summary for _, summary in drawn.values()]

    @st.fragment(run_every=LOOK_SECONDS)
    def tick() -> None:
        with errors_shown():
            if [summary for _, summary in look().values()] != before:
                st.rerun()

    tick()


with frame("Runs", "Everything trained here: find a run, compare several, tidy up."):
    if wanted := st.session_state.pop("watch run", None):
        st.switch_page("pages/train.py", query_params={"run": wanted})
    address.read("runs", "")
    # First of all: a click that arrives before the new address would restore the old choice.
    address.write("runs", st.session_state["runs"])
    known = look()
    undo_delete(add)
    problem_of_others([name for name in chosen_ids() if name in known])
    if known:
        table(known)
    else:
        st.info("No run yet. Choose a task on the Train page and press Train.")
        link_to("Train", "Train a model")
    details(known)
    trash_list()
    with st.expander("Pages that were handed in", expanded=any_handed_in()), errors_shown():
        handed_in()
    follow(known)

"""A hidden fault: the app plants it, and the user finds it with the app's pages, against the clock.

A hunt is one such game, for one or four faults. A run's settings have only a hash of its fault and
the hunt's random salt (:func:`hide`). The salt is in the address, to find the hunt's runs again;
the answers are in the runs' directories.
"""

import random
import secrets
import time
from dataclasses import replace

import streamlit as st

from pages.components.debug.fault_lines import fault_lines
from pages.components.debug.lab_result import checks, curves, links, where_it_shows
from pages.components.debug.lab_runs import (
    PREFIX,
    Pair,
    bar,
    read_steps,
    start,
    steps_field,
    write_steps,
)
from pages.components.shell import address, browser
from pages.components.shell.frame import errors_shown, problem
from pages.components.shell.known_runs import known_runs
from pages.components.shell.text import plain, seconds
from transformer.config.faults import HIDDEN, hide, reveal
from transformer.config.limits import Limits
from transformer.errors import RunError, UserError, explaining
from transformer.files import changed_at
from transformer.runs import queue
from transformer.runs.directory import ACTIVE, ROOT, Run
from transformer.runs.lab import HIDDEN_FAULTS, Guesses, recipe

TO_FIND = f"{PREFIX}to be found"


def panel(count: int) -> None:
    """A hunt for one fault, or for four one after the other; an unfinished hunt continues."""
    key = f"hunt{count}"
    address.read(key, "")
    salt = str(st.session_state[key] or unfinished_hunt(count))
    st.session_state[key] = salt
    address.write(key, salt)
    runs = hunt_runs(salt) if salt else []
    if not runs:
        _offer(count, key)
        return
    waiting = [run for run in runs if run.status().state in ("queued", *ACTIVE)]
    number = next((n for n, run in enumerate(runs) if not _guesses(run).ended), len(runs))
    if number == len(runs):
        _score(runs, key)
        return
    if runs[number] in waiting:
        _training(runs[number], number, len(runs))
        return
    _hunt(runs, number)


def _guesses(run: Run) -> Guesses:
    """The answers to a run: those stored with it if it is this browser's, else this session's."""
    if browser.may_control(run):
        return Guesses.of(run.path)
    answers: dict[str, Guesses] = st.session_state.setdefault("hunt answers", {})
    return answers.get(run.id, Guesses())


def _keep(run: Run, guesses: Guesses) -> None:
    if not browser.may_control(run):
        st.session_state["hunt answers"][run.id] = guesses
        return
    with explaining("The answer could not be written"):
        guesses.keep(run.path)


def unfinished_hunt(count: int) -> str:
    """The salt of this browser's newest hunt for ``count`` faults if it is not over; else empty."""
    for run, summary in known_runs().values():
        if summary.name.startswith(TO_FIND) and summary.name.endswith(f" of {count}"):
            if not browser.may_control(run):
                continue
            try:
                salt = run.config().training.fault.removeprefix(HIDDEN).partition(".")[0]
            except RunError:
                continue
            return salt if any(not _guesses(one).ended for one in hunt_runs(salt)) else ""
    return ""


def hunt_runs(salt: str) -> list[Run]:
    """The runs of a hunt, in the order of their faults."""
    found = []
    for run, summary in known_runs().values():
        if summary.name.startswith(TO_FIND):
            try:
                fault = run.config().training.fault
            except RunError:
                continue
            if fault.startswith(f"{HIDDEN}{salt}."):
                found.append((fault, run))
    return [run for _, run in sorted(found, key=lambda item: item[0])]


def _offer(count: int, key: str) -> None:
    what = "a fault" if count == 1 else "four faults, one after the other"
    st.markdown(
        f"The app plants {what} at random and trains the model. Find it with the pages of the app: "
        "the run's curve and checks, Attention, Decode. The clock starts when the model is trained."
    )
    steps = read_steps()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        steps_field(steps)
        pressed = st.button(
            "Plant one" if count == 1 else "Plant four",
            type="primary",
            icon=":material/casino:",
        )
    write_steps()
    if not pressed:
        return
    salt, threads = secrets.token_hex(3), Limits.from_environment().threads
    try:
        for number, fault in enumerate(random.sample(HIDDEN_FAULTS, count), 1):
            hidden = hide(fault, f"{salt}.{number}")
            config = recipe(fault, hidden_as=hidden, threads=threads, steps=steps)
            start(config, f"{TO_FIND}, {number} of {count}")
    except UserError as error:
        problem(error)
    st.session_state[key] = st.session_state[f"kept {key}"] = salt
    address.write(key, salt)
    st.rerun()


def _training(run: Run, number: int, count: int) -> None:
    @st.fragment(run_every=1.0)
    def tick() -> None:
        with errors_shown():
            queue.poll(ROOT)
            bar(run, "The faulty model" if count == 1 else f"Model {number + 1} of {count}")
            if run.status().state not in ("queued", *ACTIVE):
                st.rerun()

    tick()


def _began(runs: list[Run], number: int) -> float:
    """When the clock started: the model's training or the previous model's hunt ended, whichever
    was later."""
    before = _guesses(runs[number - 1]).ended if number else 0.0
    return max(before, changed_at(runs[number].path / "status.json"))


def _hunt(runs: list[Run], number: int) -> None:
    run, guesses = runs[number], _guesses(runs[number])
    began = _began(runs, number)
    which = "" if len(runs) == 1 else f"Model {number + 1} of {len(runs)}. "

    @st.fragment(run_every=1.0)
    def clock() -> None:
        st.markdown(f"{which}**It is trained. Find its fault:** {seconds(time.time() - began)}")

    clock()
    links(run)
    from transformer.faults import FAULTS

    titles = {FAULTS[name].title: name for name in HIDDEN_FAULTS}
    with st.form(f"answer {run.id}", border=False):
        given = st.selectbox(
            "What is wrong with it?", sorted(titles), index=None, placeholder="Choose the fault"
        )
        with st.container(horizontal=True):
            pressed = st.form_submit_button("Answer", type="primary")
            over = st.form_submit_button("Give up")
    true = reveal(run.config().training.fault)
    if pressed and given is None:
        st.info("Choose a fault in the list, then answer.", icon=":material/info:")
    elif pressed and given is not None:
        if titles[given] == true:
            _keep(run, replace(guesses, found=True, ended=time.time()))
            st.rerun()
        if titles[given] not in guesses.wrong:
            guesses = replace(guesses, wrong=(*guesses.wrong, titles[given]))
            _keep(run, guesses)
    if over:
        _keep(run, replace(guesses, ended=time.time()))
        st.rerun()
    if guesses.wrong:
        named = ", ".join(FAULTS[name].title.lower() for name in guesses.wrong)
        st.warning(f"Not that: {plain(named)}.", icon=":material/close:")
    if number:
        _explained(runs[number - 1], _began(runs, number - 1))


def _explained(run: Run, began: float) -> None:
    """Draw the explanation of a fault that the user has found or given up."""
    from transformer.faults import FAULTS

    guesses, fault = _guesses(run), FAULTS[reveal(run.config().training.fault)]
    took = seconds(guesses.ended - began)
    tries = f", after {len(guesses.wrong)} wrong" if guesses.wrong else ""
    if guesses.found:
        st.success(f"**Found in {took}{tries}.** {fault.title}.", icon=":material/check_circle:")
    else:
        st.info(f"**Given up after {took}{tries}.** {fault.title}.", icon=":material/flag:")
    with st.expander("Why, and how to recognise it", expanded=True):
        fault_lines(fault)
        st.markdown(f"**Why.** {plain(fault.why)}")
        st.markdown(f"**Remedy.** {plain(fault.remedy)}")
        if fault.where_it_shows:
            st.markdown(plain(where_it_shows(fault)))


def _score(runs: list[Run], key: str) -> None:
    found = sum(_guesses(run).found for run in runs)
    if len(runs) > 1:
        spent = sum(_guesses(run).ended - _began(runs, n) for n, run in enumerate(runs))
        st.markdown(f"**{found} of {len(runs)} found, in {seconds(spent)} in all.**")
    for number, run in enumerate(runs):
        _explained(run, _began(runs, number))
    if len(runs) == 1:
        checks(runs[0])
        training = runs[0].config().training
        healthy = Pair.of(reveal(training.fault), training.steps).healthy
        curves({"with the fault": runs[0]} | ({"healthy copy": healthy} if healthy else {}))
    if st.button("Another", icon=":material/casino:", key=f"again {key}"):
        st.session_state[key] = st.session_state[f"kept {key}"] = ""
        address.write(key, "")
        st.rerun()

"""The break-it lab: choose a fault, predict its effect, train with and without it, see why."""

from contextlib import suppress

import streamlit as st

from pages.components.debug import hidden_fault
from pages.components.debug.fault_lines import fault_lines
from pages.components.debug.lab_result import results
from pages.components.debug.lab_runs import (
    Pair,
    newest,
    progress,
    read_steps,
    steps_field,
    write_steps,
)
from pages.components.shell import address, browser, session
from pages.components.shell.frame import problem
from pages.components.shell.text import plain
from transformer.errors import UserError
from transformer.runs.lab import OUTCOMES, PREDICTIONS, Guesses

WAYS = {
    "choose": "Choose a fault",
    "find": "Find a hidden fault",
    "find-four": "Find four, one after the other",
}
OLD_WAYS = {"blind": "find", "interview": "find-four"}
"""Name in older links -> present name."""
FIRST = "no-causal-mask"
PLACES = {
    "model": "in the model",
    "batches": "in the batches",
    "loss": "in the loss",
    "optimizer": "in the optimizer",
    "decoding": "in the decoding",
}


def panel() -> None:
    """The lab in one of three modes: a chosen fault, or one or four hidden ones to find."""
    address.read("lab", "choose")
    way = OLD_WAYS.get(st.session_state["lab"], st.session_state["lab"])
    st.session_state["lab"] = way if way in WAYS else "choose"
    way = st.segmented_control(
        "What to do",
        list(WAYS),
        format_func=WAYS.__getitem__,
        key="lab",
        required=True,
        label_visibility="collapsed",
    )
    address.write("lab", str(way), "choose")
    session.wait_for_torch()
    if way == "choose":
        _chosen()
    else:
        hidden_fault.panel(4 if way == "find-four" else 1)


def _chosen() -> None:
    from transformer.faults import FAULTS

    last = newest()
    address.read("fault", FIRST if last is None else last[0])
    titles = {fault.name: f"{fault.title} ({fault.family})" for fault in FAULTS.values()}
    name = address.choose("Fault", titles, "fault", "There is no such fault.")
    if name is None:
        return
    fault, steps = FAULTS[name], read_steps(name)
    pair = Pair.of(name, steps)
    fault_lines(fault, f"The fault, {PLACES[fault.place]}")
    predicted = _prediction(pair)
    if pair.missing:
        _begin(pair, predicted is None)
    elif not pair.ended:
        progress(pair)
    elif predicted is None:
        st.caption("Both models are trained. Predict, then see the result.")
    elif not results(pair, fault, predicted):
        steps_field(steps)
    write_steps()


def _prediction(pair: Pair) -> int | None:
    """The index of the user's prediction; None until there is one.

    It is stored in the address and in the directory of the faulty run, so that it survives a
    reload, another tab, and looking at another fault in between.
    """
    key, state = "predict", st.session_state
    address.read(key, "")
    given: dict[str, str] = state.setdefault("predictions", {})
    mine = pair.faulty if pair.faulty and browser.may_control(pair.faulty) else None
    guesses = Guesses.of(mine.path) if mine else Guesses()
    if pair.fault not in (state.get("predicted fault", pair.fault), st.query_params.get("fault")):
        state[key] = ""  # it was for the previous fault
    state["predicted fault"] = pair.fault
    if state[key] not in PREDICTIONS:
        state[key] = given.get(pair.fault) or guesses.predicted or None
    chosen: str | None = st.radio(
        "**Predict first.** What happens to this model when it is trained to reverse 3 to 6 "
        "letters?",
        PREDICTIONS,
        index=None,
        format_func=dict(zip(PREDICTIONS, OUTCOMES, strict=True)).__getitem__,
        key=key,
    )
    address.write(key, chosen or "")
    if chosen is None:
        return None
    given[pair.fault] = chosen
    if mine and guesses.predicted != chosen:
        with suppress(OSError):  # the address has it
            Guesses(chosen).keep(mine.path)
    return PREDICTIONS.index(chosen)


def _begin(pair: Pair, waits: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        steps_field(pair.steps)
        pressed = st.button(
            "Train both" if pair.healthy is None else "Train it beside the healthy copy",
            type="primary",
            icon=":material/play_arrow:",
            disabled=waits,
            help="Predict first." if waits else None,
        )
    st.caption(
        "500 updates take about 20 s per model on one free core. Both appear among your runs."
    )
    if not pressed:
        return
    try:
        pair.begin()
    except UserError as error:
        problem(error)
    except OSError as error:
        st.error(plain(f"The run could not be written: {error.strerror}."))
    else:
        st.rerun()

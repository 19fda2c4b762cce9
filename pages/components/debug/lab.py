"""The break-it lab: choose a fault, predict, train it beside its healthy copy, and see why."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.components.debug import blind
from pages.components.debug.fault_lines import fault_lines
from pages.components.debug.lab_result import results
from pages.components.debug.lab_runs import Pair, progress, steps, steps_field
from pages.components.shell import address, session
from pages.components.shell.frame import problem
from pages.components.shell.text import plain
from transformer.errors import UserError
from transformer.runs.lab import OUTCOMES

if TYPE_CHECKING:
    pass

WAYS = {"choose": "Choose a fault", "blind": "Blind", "interview": "Interview: four"}
FIRST = "no-causal-mask"
PLACES = {
    "model": "in the model",
    "batches": "in the batches",
    "loss": "in the loss",
    "optimizer": "in the optimizer",
    "decoding": "in the decoding",
}


def panel() -> None:
    """One of three ways: a fault of one's choice, or one or four that are to be found."""
    address.read("lab", "choose")
    if st.session_state["lab"] not in WAYS:
        st.session_state["lab"] = "choose"
    way = st.segmented_control(
        "What to do",
        list(WAYS),
        format_func=WAYS.__getitem__,
        key="lab",
        required=True,
        label_visibility="collapsed",
    )
    address.write("lab", "" if way == "choose" else str(way))
    session.wait_for_torch()
    if way == "choose":
        _chosen()
    else:
        blind.panel(4 if way == "interview" else 1)


def _chosen() -> None:
    from transformer.faults import FAULTS

    address.read("fault", FIRST)
    titles = {fault.name: f"{fault.title} ({fault.family})" for fault in FAULTS.values()}
    name = address.choose("Fault", titles, "fault", "There is no such fault.")
    if name is None:
        return
    fault = FAULTS[name]
    fault_lines(fault, f"The fault, {PLACES[fault.place]}")
    predicted = _prediction(name)
    pair = Pair.of(name, steps())
    if pair.missing:
        _begin(pair, predicted is None)
        return
    if not pair.ended:
        progress(pair)
        return
    if predicted is None:
        st.caption("Both are trained. Predict, and see what came out.")
        return
    if not results(pair, fault, predicted):
        steps_field()


def _prediction(name: str) -> int | None:
    """What the person predicts, kept in this session; None before."""
    key = f"predicted {name}"
    kept: int | None = st.session_state.get(f"kept {key}")
    chosen: int | None = st.radio(
        "**Predict first.** Trained on reversing 3 to 6 letters, what will become of it?",
        range(len(OUTCOMES)),
        index=kept,
        format_func=OUTCOMES.__getitem__,
        key=key,
    )
    st.session_state[f"kept {key}"] = chosen
    return chosen


def _begin(pair: Pair, waits: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        steps_field()
        pressed = st.button(
            "Train both" if pair.healthy is None else "Train it beside the healthy copy",
            type="primary",
            icon=":material/play_arrow:",
            disabled=waits,
            help="Predict first." if waits else None,
        )
    st.caption("500 updates take about 20 s each on one free core. Both become runs of yours.")
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

"""What is chosen in the form of the Train page: from the address, a card, a widget, or advice."""

import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import streamlit as st

from pages.components.stores import pairs as pairs_store
from pages.components.training import own_pairs
from pages.components.training.cards import OWN, REVERSE
from pages.components.training.cards import SEVEN as SEVEN_CARD
from pages.components.training.config_fields import fill
from pages.components.training.link import (
    CONFIGS,
    PARAMETERS,
    SEVEN,
    Choice,
    first_choice,
    link,
    read_link,
)
from transformer.config import TrainingConfig
from transformer.tasks import TASKS
from transformer.tasks.own_pairs.advice import Suggestion
from transformer.tasks.presets import defaults

MODEL_FIELDS = [
    *("d_model", "num_heads", "d_ff", "num_encoder_layers", "num_decoder_layers", "dropout"),
    *("activation", "norm_first", "final_norm", "tie_embeddings", "share_embeddings"),
    *("scale_embeddings", "position_layout", "output_bias", "layer_norm_eps", "max_length"),
]
TRAINING_FIELDS = [name for name in TrainingConfig.__dataclass_fields__ if name != "fault"]
KEPT_FIELDS = ("min_letters", "max_letters", "digits", "tokens", "bpe_size", "max_length")
"""Settings that follow from the data, so that another preset leaves them as they are."""
STATE = "training choice"
VIEW, FORM, RUN = "train view", "form", "run"
"""In session state: which of the two the Train page shows."""
UNASKED = "unasked"
"""For which pairs the form has taken the advice: for none, since a link has settings of its own."""
LATE_SECONDS = 3.0
"""A click right after a change comes with the address from before it."""
MAX_WRITTEN = 20
SEVEN_UNTIL = 1e-3
"""The loss at which the seven sentences count as memorised."""
SEVEN_CHANGES: Mapping[str, Any] = MappingProxyType(
    {"until_loss": SEVEN_UNTIL, "steps": 140, "learning_rate": 1.2e-2, "decay_fraction": 0.8}
)
"""Of their preset, which is for more pairs: with a rate that falls early they need 120 to 140
updates, and at the preset's, 160 to 240."""


def current() -> Choice:
    """From the address if that has changed, else as it was; the widgets are set to it."""
    state = st.session_state
    state.setdefault("training link problem", "")
    query = {name: value for name, value in st.query_params.items() if name in PARAMETERS}
    if query and _is_news(query):
        choice, state["training link problem"] = read_link(query)
        # A link with settings means them; a link without any leaves them to the advice.
        meant = set(query) - {"task", "pairs", "controls"}
        state["advised"] = (choice.pairs or UNASKED) if meant else ""
        _fill(choice)
    elif STATE in state:
        choice = state[STATE]
        if "task" not in state:  # the form was folded, and its widgets have forgotten
            _fill(choice)
        task = state.get("task", choice.task)
        preset = state.get(f"preset {task}", choice.preset if task == choice.task else None)
        if task != choice.task:
            choice = first_choice(task)
            if state.get(own_pairs.CHOSEN) == SEVEN:  # a card of its own
                state[own_pairs.CHOSEN] = ""
            _fill(choice)
        elif preset != choice.preset:
            choice = _with_preset(choice, preset)
            _fill(choice)
    else:
        choice = first_choice()
        _fill(choice)
    if choice.task == "pairs":
        choice = _advised(replace(choice, pairs=state.get(own_pairs.CHOSEN, "")))
    return choice


def choose_card(card: str) -> None:
    """A card was pressed: the form is as that says, whatever was changed before."""
    state = st.session_state
    if card == SEVEN_CARD:
        choice = Choice("pairs", "overfit", dict(SEVEN_CHANGES), SEVEN)
        state[own_pairs.CHOSEN] = SEVEN
    else:
        choice = first_choice("pairs" if card == OWN else REVERSE)
        if card == OWN:
            choice = replace(choice, pairs=state.get("pairs shown", ""))
            state[own_pairs.CHOSEN], state["advised"] = choice.pairs, ""
    state[STATE] = choice
    _fill(choice)


def card_of(choice: Choice) -> str:
    if choice.task == "pairs":
        return SEVEN_CARD if choice.pairs == SEVEN else OWN
    return choice.task


def reset() -> None:
    """All settings as the preset has them, those that follow from the data excepted."""
    choice: Choice = st.session_state[STATE]
    kept = {
        name: value for name, value in choice.changes.items() if name not in own_changes(choice)
    }
    st.session_state[STATE] = replace(choice, changes=kept)
    _fill(st.session_state[STATE])


def own_changes(choice: Choice) -> dict[str, Any]:
    """The changes that are worth telling: what follows from the data is no one's choice."""
    return {
        name: value
        for name, value in choice.changes.items()
        if not (choice.task == "pairs" and name in ("tokens", "bpe_size", "max_length"))
        and not (choice.pairs == SEVEN and SEVEN_CHANGES.get(name) == value)
    }


def _is_news(query: dict[str, str]) -> bool:
    """Whether an address came from outside: a link, a reload, back and forward.

    A click that follows a change at once is sent before the browser has the new address, and
    must not undo the change.
    """
    written: list[dict[str, str]] = st.session_state.get("training addresses", [])
    if not written or query not in written:
        return True
    late = time.monotonic() - st.session_state["training address time"] < LATE_SECONDS
    return query != written[-1] and not late


def _with_preset(choice: Choice, preset: str) -> Choice:
    base = defaults(choice.task, preset)
    kept = {name: choice.values[name] for name in KEPT_FIELDS if name in choice.changes}
    changes = {name: value for name, value in kept.items() if value != base[name]}
    return replace(choice, preset=preset, changes=changes)


def _fill(choice: Choice) -> None:
    """Set every widget, before any is drawn."""
    state = st.session_state
    state["task"] = choice.task
    state[f"preset {choice.task}"] = choice.preset
    if choice.task == "pairs" and choice.pairs:
        state[own_pairs.CHOSEN] = choice.pairs
    for part, names in fields_of(choice.task).items():
        fill(CONFIGS[part], choice.values, names, key=key_of(choice))


def fields_of(task: str) -> dict[str, list[str]]:
    return {
        "data": list(TASKS[task].data_fields),
        "model": MODEL_FIELDS,
        "training": TRAINING_FIELDS,
    }


def key_of(choice: Choice) -> str:
    return f"{choice.task}.{choice.preset}"


def write_address(choice: Choice) -> None:
    """In one go, so that the browser's history gets one entry."""
    ours, state = link(choice), st.session_state
    written = state.setdefault("training addresses", [])
    if ours not in written[-1:]:
        state["training addresses"] = [*written[-MAX_WRITTEN:], ours]
        state["training address time"] = time.monotonic()
    query = dict(st.query_params)
    if {name: value for name, value in query.items() if name in (*PARAMETERS, "run")} != ours:
        # Where the form is, no run is shown.
        ours_too = (*PARAMETERS, "run")
        others = {name: value for name, value in query.items() if name not in ours_too}
        st.query_params.from_dict({**others, **ours})


# --- Advice on a person's own pairs ------------------------------------------------------


def _advised(choice: Choice) -> Choice:
    """New pairs come with the settings that suit them."""
    state = st.session_state
    known = (choice.pairs, UNASKED)
    if choice.pairs in ("", SEVEN) or choice.locked or state.get("advised") in known:
        return choice
    kept = pairs_store.find(choice.pairs)
    if kept is None or kept.survey is None:
        return choice
    state["advised"] = choice.pairs
    choice = follow(choice, kept.survey.suggestion)
    _fill(choice)
    return choice


def follow(choice: Choice, suggestion: Suggestion) -> Choice:
    """The form with what is suggested; a person's other changes to the same preset stay."""
    base = defaults("pairs", suggestion.preset)
    suggested = {
        "tokens": suggestion.tokens,
        "bpe_size": suggestion.bpe_size,
        "max_length": max(suggestion.max_length, base["max_length"]),
    }
    before = choice.changes if choice.preset == suggestion.preset else {}
    changes = {
        name: value for name, value in {**before, **suggested}.items() if value != base[name]
    }
    return replace(choice, preset=suggestion.preset, changes=changes)


def take_advice(choice: Choice, suggestion: Suggestion) -> None:
    followed = follow(choice, suggestion)
    st.session_state[STATE] = followed
    _fill(followed)

"""The choice in the Train page's form: from the address, a card, a widget, or advice."""

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
"""Settings that depend on the data, so that they stay when another preset is chosen."""
STATE = "training choice"
VIEW, FORM, RUN = "train view", "form", "run"
"""Key in session state of what the Train page shows, and its two values."""
UNASKED = "unasked"
"""Value of "advised" in session state if the link has its own settings, so that no advice is
applied; otherwise "advised" is the id of the pairs whose advice was applied."""
LATE_SECONDS = 3.0
"""Seconds after a change in which the browser may still send the address from before it."""
MAX_WRITTEN = 20
SEVEN_UNTIL = 1e-3
"""The loss at which the seven sentences count as memorised."""
SEVEN_CHANGES: Mapping[str, Any] = MappingProxyType(
    {
        "until_loss": SEVEN_UNTIL,
        "steps": 60,
        "learning_rate": 1.2e-2,
        "decay_fraction": 0.6,
        "adam_beta2": 0.7,
        "eval_every": 10,
    }
)
"""Changes to the preset, which is for more pairs. With them 40 updates are enough: gradients vanish
as the pairs are learned, and a short memory of their squares (β₂) keeps Adam's updates large."""


def current() -> Choice:
    """The choice: from the address if that has changed, else as it was. Sets the widgets to it."""
    state = st.session_state
    state.setdefault("training link problem", "")
    query = {name: value for name, value in st.query_params.items() if name in PARAMETERS}
    if query and _is_news(query):
        choice, state["training link problem"] = read_link(query)
        # Settings in a link are kept; if it has none, the advice on the pairs sets them.
        meant = set(query) - {"task", "pairs", "controls"}
        state["advised"] = (choice.pairs or UNASKED) if meant else ""
        _fill(choice)
    elif STATE in state:
        choice = state[STATE]
        if "task" not in state:  # the form was not drawn, so Streamlit has dropped its values
            _fill(choice)
        task = state.get("task", choice.task)
        preset = state.get(f"preset {task}", choice.preset if task == choice.task else None)
        if task != choice.task:
            choice = first_choice(task)
            if state.get(own_pairs.CHOSEN) == SEVEN:  # they have their own card
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
    """Callback of a card: set the whole form to it, whatever was changed before."""
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
    """Reset all settings to the preset's, except those that depend on the data."""
    choice: Choice = st.session_state[STATE]
    kept = {
        name: value for name, value in choice.changes.items() if name not in own_changes(choice)
    }
    st.session_state[STATE] = replace(choice, changes=kept)
    _fill(st.session_state[STATE])


def own_changes(choice: Choice) -> dict[str, Any]:
    """The changes to the preset that the user made, without those that depend on the data."""
    return {
        name: value
        for name, value in choice.changes.items()
        if not (choice.task == "pairs" and name in ("tokens", "bpe_size", "max_length"))
        and not (choice.pairs == SEVEN and SEVEN_CHANGES.get(name) == value)
    }


def _is_news(query: dict[str, str]) -> bool:
    """Whether an address came from outside: by a link, a reload, back or forward.

    A click right after a change is sent before the browser has the new address, and must not undo
    the change.
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
    """Write the choice into the address at once, so that the browser's history gets one entry."""
    ours, state = link(choice), st.session_state
    written = state.setdefault("training addresses", [])
    if ours not in written[-1:]:
        state["training addresses"] = [*written[-MAX_WRITTEN:], ours]
        state["training address time"] = time.monotonic()
    query = dict(st.query_params)
    if {name: value for name, value in query.items() if name in (*PARAMETERS, "run")} != ours:
        # The address of the form names no run.
        ours_too = (*PARAMETERS, "run")
        others = {name: value for name, value in query.items() if name not in ours_too}
        st.query_params.from_dict({**others, **ours})


# --- Advice on a user's own pairs --------------------------------------------------------


def _advised(choice: Choice) -> Choice:
    """The choice, with the suggested settings if its pairs are new."""
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
    """The choice with the suggested settings; the user's other changes to the same preset stay."""
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

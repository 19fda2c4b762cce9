"""The form of the Train page: what to learn, how large a model, every setting on demand.

What is chosen stands in the address, so that a reload, a link or a run opens it again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.shell.frame import problem
from pages.components.shell.text import plain
from pages.components.stores import pairs as pairs_store
from pages.components.stores.pairs import Kept
from pages.components.training import own_pairs
from pages.components.training.config_fields import config_form, fill, index_of
from pages.components.training.link import (
    CONFIGS,
    PARAMETERS,
    Choice,
    first_choice,
    in_words,
    link,
    link_of,
    presets_of,
    read_link,
)
from pages.components.widgets.copy_link import copy_link
from transformer.config import TrainingConfig
from transformer.config.limits import Limits
from transformer.errors import TaskError, UserError
from transformer.runs import queue
from transformer.runs.directory import Run
from transformer.tasks import SEVEN_PAIRS, TASKS, Facts
from transformer.tasks.own_pairs.advice import Suggestion
from transformer.tasks.presets import PRESETS, data_config, defaults, prepare, run_config

__all__ = ["SEVEN_SENTENCES", "Request", "form", "link_of", "start"]

MODEL_FIELDS = [
    *("d_model", "num_heads", "d_ff", "num_encoder_layers", "num_decoder_layers", "dropout"),
    *("activation", "norm_first", "final_norm", "tie_embeddings", "share_embeddings"),
    *("scale_embeddings", "position_layout", "output_bias", "layer_norm_eps", "max_length"),
]
TRAINING_FIELDS = list(TrainingConfig.__dataclass_fields__)
KEPT_FIELDS = ("min_letters", "max_letters", "digits", "tokens", "bpe_size", "max_length")
"""Settings that follow from the data, so that another preset leaves them as they are."""
STATE = "training choice"
UNASKED = "unasked"
"""For which pairs the form has taken the advice: for none, since a link has settings of its own."""
LATE_SECONDS = 3.0
"""A click right after a change comes with the address from before it."""
MAX_WRITTEN = 20


@dataclass(frozen=True)
class Request:
    """What a person asks to be trained.

    pairs: their own, as a TSV file; facts: what is known of them already.
    """

    task: str
    preset: str
    name: str
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    pairs: Path | None = None
    facts: Facts | None = None


SEVEN_SENTENCES = Request(
    "pairs",
    "overfit",
    "Seven sentences",
    training={"until_loss": 1e-3},
    pairs=SEVEN_PAIRS,
)


def start(request: Request, owner: str) -> Run:
    """Create the run, and start its trainer or let it wait for its turn.

    Args:
        owner: the hash of the browser's token.

    Raises:
        ConfigError, TaskError, RunError: something in the request does not fit, or there is no
            room for another run.
    """
    if request.pairs is not None and not request.pairs.exists():
        raise TaskError("These pairs are no longer here; bring them again.")
    training = {"threads": Limits.from_environment().threads} | request.training
    if request.facts is not None:
        data = data_config(request.task, request.preset, request.data)
        config = run_config(request.facts, data, request.preset, request.model, training)
    else:
        _, config = prepare(
            request.task,
            request.preset,
            pairs=request.pairs,
            data=request.data,
            model=request.model,
            training=training,
        )
    return queue.submit(
        config,
        name=request.name,
        pairs=request.pairs,
        owner=owner,
        shared=request.pairs == SEVEN_PAIRS,
    )


def form(begin: Callable[[Request], None]) -> None:
    """Draw the form; ``begin`` is called with what a person asks for."""
    choice = _choice()
    if st.session_state["training link problem"]:
        st.warning(plain(st.session_state["training link problem"]))
    drawn = _locked if choice.locked else _open
    chosen, request, buttons, trouble = drawn(choice)
    st.session_state[STATE] = chosen
    _write_address(chosen)
    with buttons:
        # No callback: a click right after a change comes with it, and a callback would still
        # have the request from before.
        if st.button("Train", type="primary", key="train", disabled=request is None) and request:
            begin(request)
        if not choice.locked and st.button("Seven sentences by heart", key="seven"):
            begin(SEVEN_SENTENCES)
    if not choice.locked:
        # No popover: its content comes last in the order of the Tab key.
        with st.expander("A link to this form"):
            st.caption("It opens this page with every setting as it is now.")
            copy_link(
                {
                    "Copy a link": link(chosen),
                    "Copy a link with the settings hidden": link(replace(chosen, locked=True)),
                },
                key="copy link",
            )
    # Shown until what it is about has changed.
    refused = st.session_state.get("training problem")
    if refused is not None and refused[0] in (request, SEVEN_SENTENCES):
        with trouble:
            problem(refused[1])


def is_locked() -> bool:
    """Whether the form that was drawn hides its controls."""
    chosen = st.session_state.get(STATE)
    return isinstance(chosen, Choice) and chosen.locked


# --- What is chosen ----------------------------------------------------------------------


def _choice() -> Choice:
    """From the address if that has changed, else as it was; the widgets are set to it."""
    state = st.session_state
    state.setdefault("training link problem", "")
    query = {name: value for name, value in st.query_params.items() if name in PARAMETERS}
    if query and _is_news(query):
        choice, state["training link problem"] = read_link(query)
        # Whoever links settings means them; a link without any leaves them to the advice.
        meant = set(query) - {"task", "pairs", "controls"}
        state["advised"] = (choice.pairs or UNASKED) if meant else ""
        _fill(choice)
    elif STATE in state:
        choice = state[STATE]
        task = state.get("task", choice.task)
        preset = state.get(f"preset {task}", choice.preset if task == choice.task else None)
        if task != choice.task:
            choice = first_choice(task)
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
    for part, names in _fields(choice.task).items():
        fill(CONFIGS[part], choice.values, names, key=_key(choice))


def _fields(task: str) -> dict[str, list[str]]:
    return {
        "data": list(TASKS[task].data_fields),
        "model": MODEL_FIELDS,
        "training": TRAINING_FIELDS,
    }


def _key(choice: Choice) -> str:
    return f"{choice.task}.{choice.preset}"


def _write_address(choice: Choice) -> None:
    """In one go, so that the browser's history gets one entry."""
    ours, state = link(choice), st.session_state
    written = state.setdefault("training addresses", [])
    if ours not in written[-1:]:
        state["training addresses"] = [*written[-MAX_WRITTEN:], ours]
        state["training address time"] = time.monotonic()
    query = dict(st.query_params)
    if {name: value for name, value in query.items() if name in PARAMETERS} != ours:
        others = {name: value for name, value in query.items() if name not in PARAMETERS}
        st.query_params.from_dict({**others, **ours})


# --- Advice on a person's own pairs ------------------------------------------------------


def _advised(choice: Choice) -> Choice:
    """New pairs come with the settings that suit them."""
    state = st.session_state
    if not choice.pairs or choice.locked or state.get("advised") in (choice.pairs, UNASKED):
        return choice
    kept = pairs_store.find(choice.pairs)
    if kept is None or kept.survey is None:
        return choice
    state["advised"] = choice.pairs
    choice = _follow(choice, kept.survey.suggestion)
    _fill(choice)
    return choice


def _follow(choice: Choice, suggestion: Suggestion) -> Choice:
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


def _take_advice(choice: Choice, suggestion: Suggestion) -> None:
    followed = _follow(choice, suggestion)
    st.session_state[STATE] = followed
    _fill(followed)


def _advice(choice: Choice, suggestion: Suggestion) -> None:
    """What is suggested and why; a button where the form has something else."""
    name = own_pairs.TOKEN_NAMES[suggestion.tokens]
    why = f"{suggestion.tokens_reason} {suggestion.preset_reason}"
    if _follow(choice, suggestion) == choice:
        st.caption(f"Set for these pairs: **{name}**, preset **{suggestion.preset}**. {plain(why)}")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Suggested: **{name}**, preset **{suggestion.preset}**. {plain(why)}")
        st.button(
            "Use what is suggested",
            on_click=_take_advice,
            args=(choice, suggestion),
            key="advice",
            width="content",
        )


# --- Drawing -----------------------------------------------------------------------------

Drawn = tuple[Choice, Request | None, Any, Any]
"""What is chosen now, what to train if that is clear, and the places of buttons and errors."""


def _open(choice: Choice) -> Drawn:
    """The form with all its controls."""
    first, second, third = st.columns([2, 2, 4], vertical_alignment="bottom")
    with first:
        task = st.selectbox(
            "Task",
            list(TASKS),
            index_of(list(TASKS), "task"),
            format_func=lambda name: TASKS[name].title,
            key="task",
        )
    kind = TASKS[task]
    with second:
        preset = st.selectbox(
            "Preset",
            presets_of(task),
            index_of(presets_of(task), f"preset {task}"),
            format_func=lambda name: (
                name + (" (recommended)" if name == kind.default_preset else "")
            ),
            key=f"preset {task}",
        )
    buttons = third.container(horizontal=True)
    trouble = st.container()
    st.caption(
        f"{kind.description} Example: {plain(kind.example.source)} → "
        f"{plain(kind.example.target)}. {PRESETS[preset].description} *Seven sentences* learns "
        "seven English-German pairs by heart, to see that the loss can reach zero."
    )
    kept = own_pairs.bring() if task == "pairs" else None
    if kept is not None and st.session_state.get("advised") not in (kept.id, UNASKED):
        st.rerun()  # read a moment ago: the advice is taken before the widgets are drawn
    below = st.container()
    with st.expander("All settings"):
        changes = _settings(choice)
    pairs = st.session_state.get(own_pairs.CHOSEN, "") if task == "pairs" else ""
    chosen = Choice(task, preset, changes, pairs)
    request = None
    with below:
        if task != "pairs":
            request = _request(chosen)
        elif kept is not None and kept.survey is not None:
            values = chosen.values
            _advice(chosen, kept.survey.suggestion)
            if values["tokens"] == "bpe":
                kept = own_pairs.with_byte_pairs(kept, values["bpe_size"])
            if kept is not None and kept.survey is not None:
                own_pairs.show(kept.survey, values["tokens"], values["held_out"])
                request = _request(chosen, kept)
    return chosen, request, buttons, trouble


def _locked(choice: Choice) -> Drawn:
    """What a link with hidden controls shows: what will be trained, and the button."""
    kept = None
    what = f"**{TASKS[choice.task].title}**, preset **{choice.preset}**"
    if words := in_words(choice):
        what += f": {plain(words)}"
    line = st.container(horizontal=True, vertical_alignment="center")
    line.markdown(f"{what}.", width="content")
    trouble = st.container()
    request = None
    if choice.task == "pairs":
        st.session_state[own_pairs.CHOSEN] = choice.pairs
        with trouble:
            kept = own_pairs.linked(choice.pairs)
            if kept is not None and choice.values["tokens"] == "bpe":
                kept = own_pairs.with_byte_pairs(kept, choice.values["bpe_size"])
        if kept is not None and kept.survey is not None:
            with trouble:
                st.caption(f"{plain(kept.title) or 'Pairs'}: {kept.survey.pairs:,} pairs.")
            request = _request(choice, kept)
    else:
        request = _request(choice)
    return choice, request, line, trouble


def _request(choice: Choice, kept: Kept | None = None) -> Request | None:
    name = f"{TASKS[choice.task].title} ({choice.preset})"
    data, model, training = (choice.part(part) for part in CONFIGS)
    if kept is None or kept.survey is None:
        return Request(choice.task, choice.preset, name, data, model, training)
    try:
        facts = kept.survey.cuts[choice.values["tokens"]].facts
    except UserError as error:
        problem(error)
        return None
    if kept.title:
        name = f"{kept.title} ({choice.preset})"
    return Request(choice.task, choice.preset, name, data, model, training, kept.data, facts)


def _settings(choice: Choice) -> dict[str, Any]:
    """Every field of the configs; returns those that differ from the preset's values."""
    base, key = defaults(choice.task, choice.preset), _key(choice)
    st.caption("Each setting has its explanation behind the question mark.")
    changes: dict[str, Any] = {}
    for part, names in _fields(choice.task).items():
        if not names:
            continue
        st.markdown(f"**{part.capitalize()}**")
        changes |= config_form(CONFIGS[part], base, choice.changes, names, key=key)
    return changes

"""The form of the Train page: the task, the size of the model, and every setting on demand.

The choice is in the address, so that a reload, a link, or a run's link to the form restores it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components.shell import browser
from pages.components.shell.frame import problem, sentence_of
from pages.components.shell.text import plain
from pages.components.stores import pairs as pairs_store
from pages.components.stores.pairs import StoredPairs
from pages.components.training import own_pairs
from pages.components.training.cards import cards
from pages.components.training.chosen import (
    SEVEN_UNTIL,
    STATE,
    UNASKED,
    card_of,
    choose_card,
    current,
    fields_of,
    follow,
    key_of,
    own_changes,
    reset,
    take_advice,
    write_address,
)
from pages.components.training.config_fields import config_form, index_of
from pages.components.training.link import (
    CONFIGS,
    PARAMETERS,
    SEVEN,
    Choice,
    link,
    link_of,
    presets_of,
)
from pages.components.training.words import in_words, run_name, sizes
from pages.components.widgets.copy_link import copy_link
from transformer.config import TransformerConfig
from transformer.config.limits import NO_OWN_PAIRS, Limits
from transformer.errors import ConfigError, TaskError, UserError
from transformer.runs import queue
from transformer.runs.creation import About
from transformer.runs.directory import Run
from transformer.tasks import SEVEN_PAIRS, TASKS, Facts
from transformer.tasks.own_pairs.advice import Suggestion
from transformer.tasks.presets import data_config, defaults, prepare, run_config
from transformer.tasks.registry import SEVEN_TITLE

__all__ = ["PARAMETERS", "Request", "form", "link_of", "start"]

FIRST_FIELDS = {
    "training": ["steps", "learning_rate", "warmup_steps"],
    "model": ["d_model", "num_heads", "dropout"],
}
"""The six settings that are usually changed first; the others are for experts."""
SETTINGS, EXPERT = "settings open", "expert settings open"
"""Keys of the two expanders with settings; session state has whether each is open."""
PATIENCE = 60.0
"""Seconds for which a click on Train may wait for pairs that are still being read."""


@dataclass(frozen=True)
class Request:
    """A run that the user asks for.

    pairs: the user's own, as a TSV file; facts: what is already known of these pairs.
    """

    task: str
    preset: str
    name: str
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    pairs: Path | None = None
    facts: Facts | None = None


def start(request: Request, owner: str) -> Run:
    """Create the run, and start its trainer or queue it.

    Args:
        owner: the hash of the browser's token.

    Raises:
        ConfigError, TaskError, RunError: the request is invalid, or there is no room for another
            run.
    """
    if request.pairs is not None and not request.pairs.exists():
        raise TaskError("These pairs are no longer here; bring them again.")
    if request.facts is not None:
        data = data_config(request.task, request.preset, request.data)
        config = run_config(request.facts, data, request.preset, request.model, request.training)
    else:
        _, config = prepare(
            request.task,
            request.preset,
            pairs=request.pairs,
            data=request.data,
            model=request.model,
            training=request.training,
        )
    return queue.submit(
        config,
        About(
            name=request.name,
            owner=owner,
            shared=request.pairs == SEVEN_PAIRS,
            author=browser.user_name(),
        ),
        pairs=request.pairs,
    )


def form(begin: Callable[[Request], None]) -> None:
    """Draw the form; ``begin`` is called with the request when the user presses Train."""
    choice = current()
    if st.session_state["training link problem"]:
        st.warning(plain(st.session_state["training link problem"]))
    drawn = _locked if choice.locked else _open
    chosen, request, buttons, trouble = drawn(choice)
    st.session_state[STATE] = chosen
    write_address(chosen)
    with buttons:
        # No callback: if a change and the click arrive together, a callback would have the
        # request from before the change.
        pressed = st.button("Train", type="primary", key="train")
    if request is None:
        _answer_in_vain(pressed, chosen, trouble)
    elif pressed or _has_waited():
        begin(request)
    if not choice.locked:
        # No popover: with the Tab key, its content would be reached last.
        with st.expander("A link to this form"):
            private = " Anyone who has it can open your pairs, too." if chosen.pairs else ""
            st.caption(f"It opens this page with every setting as it is now.{private}")
            copy_link(
                {
                    "Copy a link": link(chosen),
                    "Copy a link with the settings hidden": link(replace(chosen, locked=True)),
                },
                key="copy link",
            )
    # The error is shown until the request has changed.
    refused = st.session_state.get("training problem")
    if refused is not None and refused[0] == request:
        with trouble:
            problem(refused[1])


def _answer_in_vain(pressed: bool, chosen: Choice, trouble: Any) -> None:
    """Handle a click on Train without a request: wait for pairs that are being read, or say what
    is missing."""
    if not pressed:
        return
    kept = pairs_store.find(chosen.pairs) if chosen.pairs else None
    if kept is not None and kept.problem is None:
        st.session_state["train when read"] = time.monotonic()
        return
    missing = "There are no pairs yet. Write some into the box, or give a file."
    if not Limits.from_environment().own_pairs:
        missing = NO_OWN_PAIRS
    elif chosen.locked:
        missing = "The pairs of this link are not here; ask for a new link."
    with trouble:
        problem(TaskError(missing) if kept is None or kept.problem is None else kept.problem)


def _has_waited() -> bool:
    """Whether Train was pressed, within PATIENCE, while the pairs were still being read."""
    since = st.session_state.pop("train when read", None)
    return since is not None and time.monotonic() - since < PATIENCE


def is_locked() -> bool:
    """Whether the form drawn last hides its controls."""
    chosen = st.session_state.get(STATE)
    return isinstance(chosen, Choice) and chosen.locked


# --- Drawing -----------------------------------------------------------------------------


def _advice(choice: Choice, suggestion: Suggestion) -> None:
    """Draw what is suggested and why; with a button if the form differs from it."""
    name = own_pairs.TOKEN_NAMES[suggestion.tokens]
    why = f"{suggestion.tokens_reason} {suggestion.preset_reason}"
    if follow(choice, suggestion) == choice:
        st.caption(f"Set for these pairs: **{name}**, preset **{suggestion.preset}**. {plain(why)}")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Suggested: **{name}**, preset **{suggestion.preset}**. {plain(why)}")
        st.button(
            "Use what is suggested",
            on_click=take_advice,
            args=(choice, suggestion),
            key="advice",
            width="content",
        )


Drawn = tuple[Choice, Request | None, Any, Any]
"""The present choice, the request if it is complete, the containers for buttons and errors."""


def _open(choice: Choice) -> Drawn:
    """The form with all its controls."""
    cards(card_of(choice), choose_card)
    first, second, third = st.columns([2, 2, 4], vertical_alignment="bottom")
    with first:
        task = st.selectbox(
            "More tasks",
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
    what, changed = st.container(), st.container(horizontal=True, vertical_alignment="center")
    pairs = st.session_state.get(own_pairs.CHOSEN, "") if task == "pairs" else ""
    kept = own_pairs.choose_pairs() if task == "pairs" and pairs != SEVEN else None
    if kept is not None and st.session_state.get("advised") not in (kept.id, UNASKED):
        st.rerun()  # just read: the advice must be applied before the widgets are drawn
    below = st.container()
    changes = _settings(choice)
    chosen = Choice(task, preset, changes, pairs)
    with what:
        _say_what(chosen)
    with changed:
        _say_changed(chosen)
    request = None
    with below:
        if task != "pairs" or pairs == SEVEN:
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


def _say_what(choice: Choice) -> None:
    """Draw what would be trained with the current settings."""
    kind = TASKS[choice.task]
    if choice.pairs == SEVEN:
        what = (
            "Seven English sentences and their German translations, memorised: training stops "
            f"when the loss is below {SEVEN_UNTIL:g}."
        )
    elif choice.task == "pairs":
        what = kind.description
    else:
        example = kind.example
        what = f"{kind.description} Example: {plain(example.source)} → {plain(example.target)}."
    gpu = " Needs a graphics card." if choice.preset == "base" else ""
    st.caption(f"{what} {sizes(choice)}{gpu}")


def _say_changed(choice: Choice) -> None:
    """Draw what differs from the preset, and an error if the model's settings are invalid.

    The line is drawn without changes, too: otherwise the fields would move at the first change.
    """
    changed = own_changes(choice)
    said = (
        f"**{len(changed)} changed:** {plain(in_words(changed))}"
        if changed
        else "All settings are the preset's."
    )
    st.markdown(said, width="content")
    st.button("Reset", key="reset settings", type="tertiary", on_click=reset, disabled=not changed)
    try:
        TransformerConfig(
            source_vocab_size=8,
            target_vocab_size=8,
            **choice.part("model")
            | {name: choice.values[name] for name in ("d_model", "num_heads")},
        )
    except ConfigError as error:
        st.markdown(f":material/warning: {plain(sentence_of(error))}", width="content")


def _locked(choice: Choice) -> Drawn:
    """The form of a link with hidden controls: what will be trained, and the button."""
    kept = None
    what = f"**{TASKS[choice.task].title}**, preset **{choice.preset}**"
    if words := in_words(own_changes(choice)):
        what += f": {plain(words)}"
    line = st.container(horizontal=True, vertical_alignment="center")
    line.markdown(f"{what}.", width="content")
    trouble = st.container()
    request = None
    if choice.task == "pairs" and choice.pairs != SEVEN:
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


def _request(choice: Choice, kept: StoredPairs | None = None) -> Request | None:
    seven, changed = choice.pairs == SEVEN, own_changes(choice)
    title = SEVEN_TITLE if seven else TASKS[choice.task].title
    data, model, training = (choice.part(part) for part in CONFIGS)
    if kept is None or kept.survey is None:
        name = run_name(title, choice.preset, changed) if changed or not seven else title
        pairs = SEVEN_PAIRS if seven else None
        return Request(choice.task, choice.preset, name, data, model, training, pairs)
    try:
        facts = kept.survey.cuts[choice.values["tokens"]].facts
    except UserError as error:
        problem(error)
        return None
    name = run_name(kept.title or title, choice.preset, changed)
    return Request(choice.task, choice.preset, name, data, model, training, kept.data, facts)


def _settings(choice: Choice) -> dict[str, Any]:
    """Draw every field of the configs; return those that differ from the preset's values."""
    base, key = defaults(choice.task, choice.preset), key_of(choice)
    every = fields_of(choice.task)
    changes: dict[str, Any] = {}

    def fields(part: str, names: list[str], drawn: bool) -> None:
        config, before = CONFIGS[part], choice.changes
        changes.update(config_form(config, base, before, names, key=key, drawn=drawn))

    # Drawn only once opened: the 38 widgets take a third of the time to draw this page.
    with st.expander("Settings", key=SETTINGS, on_change="rerun") as first:
        if every["data"]:
            fields("data", every["data"], bool(first.open))
        for part, names in FIRST_FIELDS.items():
            fields(part, names, bool(first.open))
    with st.expander("Expert: every other setting", key=EXPERT, on_change="rerun") as expert:
        for part, names in FIRST_FIELDS.items():
            if expert.open:
                st.markdown(f"**{part.capitalize()}**")
            fields(part, [name for name in every[part] if name not in names], bool(expert.open))
    return changes

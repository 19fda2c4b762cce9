"""Widgets for the fields of a config, made from the fields' own help and bounds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields
from typing import Any

import streamlit as st

from transformer.config.names import name_of


def config_form(
    config: type[Any],
    defaults: Mapping[str, Any],
    changes: Mapping[str, Any],
    names: list[str],
    *,
    key: str,
    drawn: bool,
) -> dict[str, Any]:
    """Three columns of widgets.

    Args:
        config: a config dataclass.
        defaults: every field's value before a person changes it.
        changes: the values to start from where they differ.
        names: the fields to show.
        key: with a new key, the widgets start afresh; :func:`fill` sets those that are there.
        drawn: or folded away, with the values as they were left.

    Returns:
        the fields whose value differs from their default.
    """
    changed = {}
    columns = st.columns(3) if drawn else []
    by_name = {item.name: item for item in fields(config)}
    for position, name in enumerate(names):
        item = by_name[name]
        place = widget_key(config, name, key)
        if place not in st.session_state:
            st.session_state[place] = _as_shown(item, changes.get(name, defaults[name]))
        value = st.session_state[place]
        if drawn:
            with columns[position % 3]:
                value = _widget(item, defaults[name], place)
        else:
            # It may be a widget's, typed last before the click that folded it: kept as our own,
            # as a widget that is not drawn forgets.
            st.session_state[place] = value
        if value != defaults[name]:
            changed[name] = value
    return changed


def widget_key(config: type[Any], name: str, key: str) -> str:
    return f"{key}.{config.__name__}.{name}"


def fill(config: type[Any], values: Mapping[str, Any], names: list[str], *, key: str) -> None:
    """Set the widgets before they are drawn."""
    for item in fields(config):
        if item.name in names:
            place = widget_key(config, item.name, key)
            st.session_state[place] = _as_shown(item, values[item.name])


def index_of(options: Sequence[str], key: str) -> int:
    """Where a select box stands that has its value in session state, as its default too.

    The browser is told a value in session state once. If the page is drawn again before it has
    shown that, it shows the default, and sends that back as if it were chosen.
    """
    value = st.session_state.get(key)
    return options.index(value) if value in options else 0


def _as_shown(item: Field[Any], value: Any) -> Any:
    return float(value) if item.type is float else value


def _widget(item: Field[Any], default: Any, key: str) -> Any:
    # The help ends in the field's own name, as the command line and the files write it.
    label, about = name_of(item.name), f"{item.metadata['help']} (`{item.name}`)"
    # As the default too: see `index_of`.
    value = st.session_state[key]
    if item.type is bool:
        return st.checkbox(label, value, help=about, key=key)
    if choices := item.metadata["choices"]:
        return st.selectbox(label, choices, index_of(choices, key), help=about, key=key)
    whole = item.type is int
    # No bounds here: the box would silently keep its last good value. The config refuses a bad
    # one with a sentence.
    return st.number_input(
        label,
        value=value,
        step=1 if whole else _step(default),
        format=None if whole else "%g",
        help=about,
        key=key,
    )


def _step(default: float) -> float:
    """A tenth of the default's size, or a hundredth for 0."""
    return 10.0 ** round(math.log10(abs(default)) - 1) if default else 0.01

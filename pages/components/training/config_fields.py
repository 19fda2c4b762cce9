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
    """Draw widgets for the fields of a config, in three columns.

    Args:
        config: a config dataclass.
        defaults: every field's value before the user changes it.
        changes: the widgets' first values where they differ from the defaults.
        names: the fields to show.
        key: with a new key, the widgets start anew; :func:`fill` sets existing ones.
        drawn: False to draw nothing and return the values as they were left.

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
            # Assigned although unchanged: Streamlit drops the value of a widget that is not drawn,
            # which may have been typed just before the click that folded the form.
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
    """Index of a select box's value in session state, to be passed as its default, too.

    Streamlit sends a value in session state to the browser once. If the page is redrawn before the
    browser has shown it, the box shows its default, and sends that back as if the user chose it.
    """
    value = st.session_state.get(key)
    return options.index(value) if value in options else 0


def _as_shown(item: Field[Any], value: Any) -> Any:
    return float(value) if item.type is float else value


def _widget(item: Field[Any], default: Any, key: str) -> Any:
    # The help ends with the field's name on the command line and in files.
    label, about = name_of(item.name), f"{item.metadata['help']} (`{item.name}`)"
    # As the default too: see `index_of`.
    value = st.session_state[key]
    if item.type is bool:
        return st.checkbox(label, value, help=about, key=key)
    if choices := item.metadata["choices"]:
        return st.selectbox(label, choices, index_of(choices, key), help=about, key=key)
    whole = item.type is int
    # No bounds here: the box would silently keep its last valid value. The config refuses an
    # invalid one with a sentence.
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

"""Widgets for the fields of a config, made from the fields' own help and bounds."""

import math
from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any

import streamlit as st


def config_form(
    config: type[Any], defaults: Mapping[str, Any], names: list[str], *, key: str
) -> dict[str, Any]:
    """Three columns of widgets.

    Args:
        config: a config dataclass.
        defaults: the values to start from; a field's own default where it is not named.
        names: the fields to show.
        key: with a new key, the widgets start afresh.

    Returns:
        the fields whose value differs from their default.
    """
    changes = {}
    columns = st.columns(3)
    by_name = {item.name: item for item in fields(config)}
    for position, name in enumerate(names):
        item = by_name[name]
        default = defaults.get(name, item.default)
        with columns[position % 3]:
            value = _widget(item, default, f"{key}.{config.__name__}.{name}")
        if value != default:
            changes[name] = value
    return changes


def _widget(item: Field[Any], default: Any, key: str) -> Any:
    label, about = item.name.replace("_", " "), item.metadata["help"]
    # The field's own name, as the papers, the command line and the files write it.
    label = label if item.name not in ("d_model", "d_ff") else item.name
    if item.type is bool:
        return st.checkbox(label, value=default, help=about, key=key)
    if item.metadata["choices"]:
        choices = item.metadata["choices"]
        return st.selectbox(label, choices, index=choices.index(default), help=about, key=key)
    number: type[int] | type[float] = int if item.type is int else float
    # No bounds here: the box would silently keep its last good value. The config refuses a bad
    # one with a sentence.
    return st.number_input(
        label,
        value=number(default),
        step=None if number is int else _step(default),
        format=None if number is int else "%g",
        help=about,
        key=key,
    )


def _step(default: float) -> float:
    """A tenth of the default's size, or a hundredth for 0."""
    return 10.0 ** round(math.log10(abs(default)) - 1) if default else 0.01

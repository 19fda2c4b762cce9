"""A page's panels, of which one is open, as the address says."""

from collections.abc import Callable, Mapping
from typing import ParamSpec

import streamlit as st

from pages.components.shell import address
from pages.components.shell.frame import errors_shown

Arguments = ParamSpec("Arguments")


def open_panel(
    label: str,
    panels: Mapping[str, tuple[str, Callable[Arguments, None]]],
    key: str,
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> str | None:
    """Draw the chooser, and below it the panel that is open; its name, None if all are closed.

    Args:
        panels: name in the address -> the title, and what draws it with the arguments that follow;
            the first is open at the start.
        key: of the widget, and the name in the address.
    """
    first = next(iter(panels))
    address.read(key, first)
    if st.session_state[key] not in panels:
        st.session_state[key] = first
    chosen: str | None = st.segmented_control(
        label, list(panels), format_func=lambda name: panels[name][0], key=key
    )
    address.write(key, chosen if chosen and chosen != first else "")
    # What the address leaves out is kept all the same.
    st.session_state[f"kept {key}"] = chosen
    if chosen:
        with errors_shown():
            panels[chosen][1](*arguments, **named)
    return chosen

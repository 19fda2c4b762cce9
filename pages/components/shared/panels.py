"""A page's panels, of which the address names the open one."""

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
) -> str:
    """Draw the chooser, and below it the open panel; returns the panel's name.

    Args:
        panels: name in the address -> title, and function that draws it, called with ``arguments``
            and ``named``; the first is open at the start.
        key: of the widget, and the parameter in the address.
    """
    address.read(key, next(iter(panels)), panels)
    st.segmented_control(
        label,
        list(panels),
        format_func=lambda name: panels[name][0],
        key=key,
        required=True,
        label_visibility="collapsed",
    )
    return _draw(panels, key, *arguments, **named)


def open_tab(
    label: str,
    tabs: Mapping[str, Mapping[str, tuple[str, Callable[Arguments, None]]]],
    key: str,
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> None:
    """Draw panels under tabs; a tab with several panels has a second chooser.

    Args:
        tabs: title -> its panels, as ``open_panel`` takes them, the first open at the start.
        key: the parameter in the address, which names the panel and so implies the tab.
    """
    panels = {name: panel for tab in tabs.values() for name, panel in tab.items()}
    address.read(key, next(iter(panels)), panels)
    chosen = st.session_state[key]
    title = next(title for title, tab in tabs.items() if chosen in tab)
    tab_key, part_key = f"{key} tab", f"{key} in its tab"

    def open_first() -> None:
        st.session_state[key] = next(iter(tabs[st.session_state[tab_key]]))

    def open_part() -> None:
        st.session_state[key] = st.session_state[part_key]

    st.session_state[tab_key] = title
    with st.container(horizontal=True, vertical_alignment="center"):
        st.segmented_control(
            label,
            list(tabs),
            key=tab_key,
            required=True,
            on_change=open_first,
            label_visibility="collapsed",
        )
        if len(tabs[title]) > 1:
            st.session_state[part_key] = chosen
            st.pills(
                title,
                list(tabs[title]),
                format_func=lambda name: panels[name][0],
                key=part_key,
                required=True,
                on_change=open_part,
                label_visibility="collapsed",
            )
    _draw(panels, key, *arguments, **named)


def _draw(
    panels: Mapping[str, tuple[str, Callable[Arguments, None]]],
    key: str,
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> str:
    """Draw the open panel; returns its name."""
    chosen: str = st.session_state[key]
    address.write(key, chosen, next(iter(panels)))
    with errors_shown():
        panels[chosen][1](*arguments, **named)
    return chosen

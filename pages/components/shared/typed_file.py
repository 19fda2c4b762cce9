"""A button for a file in which what was typed stands, also what was typed just before the click."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

MOST_SECONDS = 20.0
"""A page that the server has not drawn by then is given as it was drawn last."""


@dataclass
class _Typed:
    """What the fields held when the page was drawn last, and the clicks until then."""

    values: tuple[Any, ...] = ()
    clicks: int = 0
    drawn: threading.Condition = field(default_factory=threading.Condition)


def typed_file(
    label: str, make: Callable[..., bytes], values: tuple[Any, ...], key: str, **button: Any
) -> None:
    """Draw the button; at a click, the browser gets ``make(*values)``.

    A field hands over its text when it is left, and that may be with the click on this button: by
    then the button has the file of the text before. So a click draws the page again, and the file
    waits until that has been.
    """
    typed: _Typed = st.session_state.setdefault(f"typed {key}", _Typed())
    this_draw = _Draw(make, typed)
    clicked = st.download_button(label, data=this_draw.file, key=key, **button)
    with typed.drawn:
        typed.values = values
        typed.clicks += clicked
        this_draw.clicks = typed.clicks
        typed.drawn.notify_all()


@dataclass
class _Draw:
    """The button as it was drawn once, and the clicks until then."""

    make: Callable[..., bytes]
    typed: _Typed
    clicks: int = 0

    def file(self) -> bytes:
        """In a thread of the server's, while the page is drawn in another."""
        with self.typed.drawn:
            self.typed.drawn.wait_for(lambda: self.typed.clicks > self.clicks, MOST_SECONDS)
            values = self.typed.values
        return self.make(*values)

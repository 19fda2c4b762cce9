"""The Learn page: one forward pass box by box, lessons, and published findings."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import streamlit as st

from pages.components.learn import anatomy, experiments, lesson
from pages.components.shared.panels import open_panel
from pages.components.shell import address
from pages.components.shell.frame import frame


class Part(NamedTuple):
    """One part of the page.

    what: its purpose, in a line. then: name of the next part, and the label of the button to it.
    """

    title: str
    panel: Callable[[], None]
    what: str
    then: tuple[str, str] | None = None


PARTS = {
    "anatomy": Part(
        "Anatomy",
        anatomy.panel,
        "**Start here.** Press *Next* to follow one token through every box of figure 1.",
        ("lesson", "Then the lesson"),
    ),
    "lesson": Part(
        "Lesson",
        lesson.panel,
        "**Find it out.** Questions to answer on the app's own pages, and a worksheet to hand in.",
        ("experiments", "Then the experiments"),
    ),
    "experiments": Part(
        "Experiments",
        experiments.panel,
        "**Check what papers claim.** Predict what comes out, run it here, and compare.",
    ),
}


def guided(part: Part) -> None:
    """Draw a part, under its purpose and a button to the next part."""
    with st.container(horizontal=True, vertical_alignment="center", key="guide"):
        st.markdown(part.what, width="content")
        if part.then is not None:
            name, label = part.then
            st.button(
                label,
                icon=":material/arrow_forward:",
                type="tertiary",
                on_click=address.receive,
                args=("learn", name),
            )
    part.panel()


PANELS: dict[str, tuple[str, Callable[[], None]]] = {
    name: (part.title, partial(guided, part)) for name, part in PARTS.items()
}

with frame("Learn", "One forward pass, a lesson, published findings."), address.together("Learn"):
    open_panel("What to learn from", PANELS, "learn")

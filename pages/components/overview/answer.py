"""The living parts of the Overview: a bundled model's answer, and the recent runs."""

from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.shared import inputs
from pages.components.shared.inspection import inspect
from pages.components.shell import browser, current, models, session
from pages.components.shell.text import plain, verbatim
from pages.components.widgets.attention_explorer import Side, attention_explorer
from transformer.errors import VocabularyError
from transformer.runs import directory
from transformer.tasks.pronunciation import WORDS

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

SHOWN = "pronunciation"
RECENT = 5
EXPLAINED = 4


def answer() -> None:
    """The bundled model of pronunciation answers an example, or what a person types instead."""
    entry = models.find(current.model())
    if entry is None:
        st.markdown("The model has saved nothing yet; it answers here as soon as it has.")
        return
    checkpoint = session.load(entry)
    text = _text(checkpoint)
    inspection = inspect(checkpoint, text)
    st.markdown(
        f"It says {verbatim(inspection.output)}{_as_in(inspection.output)}. "
        "Below, which letters each sound looks at."
    )
    attention_explorer([Side("", inspection.kinds[-1:])], key="overview map", compact=True)


def _text(checkpoint: "Checkpoint") -> str:
    """The field, which holds the current input; a capital is forgiven where there are none."""
    examples = checkpoint.header.examples
    known = current.text() or (examples[0].source if examples else "")
    state = st.session_state
    if "overview input" not in state or state.get("overview shown") != (current.model(), known):
        state["overview input"] = known
    text = st.text_input("An English word, or a made-up one", key="overview input").strip()
    with suppress(VocabularyError):
        checkpoint.encode(text.lower())
        text = text.lower()
    inputs.take(checkpoint, text)
    state["overview shown"] = current.model(), text
    return text


def _as_in(sounds: str) -> str:
    """Words in which one hears the first sounds whose names do not say it."""
    known = [sound for sound in dict.fromkeys(sounds.split()) if sound in WORDS][:EXPLAINED]
    told = ", ".join(f"{sound} as in *{WORDS[sound]}*" for sound in known)
    return f": {told}" if told else ""


def recent_runs() -> None:
    """Links to the newest runs with their states."""
    found = browser.visible(directory.list_runs())[:RECENT]
    st.markdown("**Recent runs**")
    if not found:
        st.caption("None yet. Training the default model takes a minute or two.")
    for run in found:
        name = run.about()["name"] or run.id
        st.page_link(
            "pages/train.py",
            label=plain(f"{name}: {run.status().state}"),
            icon=":material/history:",
            query_params={"run": run.id},
        )

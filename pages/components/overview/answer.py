"""The living parts of the Overview: a bundled model's answer, and the recent runs."""

import streamlit as st

from pages.components.shared.inspection import inspect
from pages.components.shell import browser, session
from pages.components.shell.text import plain, verbatim
from pages.components.widgets.attention_explorer import Side, attention_explorer
from transformer.runs import directory
from transformer.tasks import TASKS
from transformer.tasks.pronunciation import WORDS

SHOWN = "pronunciation"
RECENT = 5
EXPLAINED = 4


def answer() -> None:
    """The bundled model of pronunciation answers an example, or what a person types instead."""
    entry = session.listed_checkpoints()[SHOWN]
    checkpoint = session.load(entry)
    text = st.text_input(
        "An English word, or a made-up one, for a model that learned to pronounce",
        value=TASKS[SHOWN].example.source,
        key="overview input",
    )
    inspection = inspect(checkpoint, text.strip().lower())
    st.markdown(
        f"It says {verbatim(inspection.output)}{_as_in(inspection.output)}. "
        "Below, which letters each sound looks at."
    )
    attention_explorer([Side("", inspection.kinds[-1:])], key="overview map", compact=True)


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

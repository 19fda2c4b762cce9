"""All settings of a run; those that differ from its preset come first."""

import streamlit as st

from pages.components.shell.tables import Row, html_table
from pages.components.shell.text import plain
from pages.components.training.link import SETTINGS, applies
from transformer.config import RunConfig
from transformer.config.names import name_of, shown
from transformer.tasks import TASKS
from transformer.tasks.presets import PRESETS, defaults


def settings_table(config: RunConfig) -> None:
    """Draw all settings that matter to the run's task."""
    known = config.preset in PRESETS and config.data.task in TASKS
    base = defaults(config.data.task, config.preset) if known else {}
    values = {**vars(config.data), **vars(config.model), **vars(config.training)}
    changed: list[Row] = []
    same: list[Row] = []
    for name in SETTINGS:
        if known and not applies(name, config.data.task):
            continue
        value, usual = values[name], base.get(name)
        if name == "fault" and not value:  # shown only for the lab's runs
            continue
        # The number of threads is the server's choice, not the user's.
        differs = known and value != usual and name != "threads"
        if name == "threads" and not value:
            value = "by a trial"
        row = (name_of(name), shown(value), shown(usual) if known else "", name)
        (changed if differs else same).append(row)
    count = len(changed)
    st.markdown(
        f"**Preset {plain(config.preset)}**, {count} setting{'' if count == 1 else 's'} changed"
        + (", first in the list." if changed else ".")
    )
    titles = ("Setting", "Here", "In the preset", "Its name in files")
    kinds = ["self"] * count + [""] * len(same)
    st.html(html_table("rows settings", titles, [*changed, *same], label="Settings", kinds=kinds))

"""Two checkpoints side by side: which facts differ, and how far apart their weights are."""

from itertools import groupby
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from pages.components.shell import address, models, session
from pages.components.shell.models import Listed
from pages.components.shell.tables import Cell, Row, html_table
from pages.components.shell.text import Html, number, percent, seconds
from transformer.checkpoint.comparison import Line, compare, weights_distance
from transformer.config.names import name_of, shown

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

SHARES = {"exact match", "untrained exact match", "tokens right"}


def panel(entry: Listed, checkpoint: "Checkpoint") -> None:
    """Choose the other checkpoint; then scores, settings and weights of both."""
    entries = {name: one for name, one in models.listed_checkpoints().items() if name != entry.id}
    if not entries:
        st.info("There is no other checkpoint yet. Train one, or upload one.")
        return
    address.read("compared card", _proposed(entry, entries, checkpoint.task))
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        chosen = address.choose(
            "Compare with", {name: one.label for name, one in entries.items()}, "compared card"
        )
    if chosen is None:
        return
    with right:
        everything = st.toggle("Show what is equal, too", key="compare everything")
    other_entry = entries[chosen]
    other = session.load(other_entry, slot="compared")
    lines = compare(checkpoint.header, other.header)
    unlike = [line for line in lines if line.differs]
    shown = lines if everything else unlike
    st.markdown(
        f"{len(unlike)} of {len(lines)} lines differ"
        + (", marked ≠." if everything else "; only these are shown.")
    )
    if shown:
        st.html(_table(shown, entry.label, other_entry.label))
    _weights(checkpoint, other)


def _proposed(entry: Listed, entries: dict[str, Listed], task: str) -> str:
    """Id to compare with at first: the same file under another name, another snapshot of the run,
    or the bundled model of the task; else the first in the list."""
    same = models.identical(entry.path) if entry.id.startswith("upload-") else None
    if same is not None and same.id in entries:
        return same.id
    own = [one for one in entries.values() if one.path.parent == entry.path.parent]
    if own and entry.id.startswith("run-"):
        return own[0].id
    return task if task in entries else next(iter(entries))


def _table(lines: list[Line], left: str, right: str) -> str:
    """The lines as an HTML table, in which rows that differ are marked by a sign and a colour."""
    rows: list[Row] = []
    kinds = []
    for group, members in groupby(lines, lambda line: line.group):
        rows.append([Cell(group, colspan="4", scope="rowgroup")])
        kinds.append("group")
        for line in members:
            values = [_value(line, value)[:500] for value in (line.left, line.right)]
            mark = "<span title='differs' aria-label='differs'>≠</span>" if line.differs else ""
            rows.append([_name(line), *values, Cell(Html(mark), "mark")])
            kinds.append("differs" if line.differs else "same")
    head = (Cell("", tag="td"), left, right, Cell("", tag="td"))
    return html_table("cards", head, rows, label="Both checkpoints", kinds=kinds)


def _name(line: Line) -> str:
    """A line's title; a setting has its name in the Train form."""
    is_setting = line.group in ("Training", "Architecture")
    return name_of(line.name) if is_setting else f"{line.name[0].upper()}{line.name[1:]}"


def _value(line: Line, value: Any) -> str:
    if value is None:
        return "–"
    if line.name in SHARES:
        return percent(value)
    if line.name == "seconds":
        return seconds(value)
    if line.name in ("loss", "untrained loss"):
        return number(value)
    text = shown(value)
    return text[:16] + "…" if line.name == "SHA-256" else text


def _weights(checkpoint: "Checkpoint", other: "Checkpoint") -> None:
    from transformer.figures.curves import bars

    st.markdown("**How far their weights are apart**")
    found = weights_distance(checkpoint, other)
    if found is None:
        st.caption("Their weights have different shapes, so they cannot be compared one by one.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.plotly_chart(
            bars(
                [one.title for one in found],
                [one.relative for one in found],
                [f"{one.relative:.3g}" for one in found],
                title="Distance by part",
                value_title="length of the difference / length of the weights",
            ),
            key="weights apart",
            config={"displayModeBar": False},
        )
    with right:
        st.dataframe(
            pd.DataFrame(
                {
                    "Part": [one.title for one in found],
                    "Distance": [f"{one.relative:.4g}" for one in found],
                    "Cosine": ["–" if one.cosine is None else f"{one.cosine:.4f}" for one in found],
                }
            ),
            hide_index=True,
        )
        st.caption(
            "0 is equal. Two unrelated models are about 1.41 apart, with a cosine of 0; even "
            "equally good models look like that if they were trained from different seeds."
        )

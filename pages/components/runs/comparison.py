"""Chosen runs side by side: what differs in their settings, their curves, and figures to save."""

import html
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import streamlit as st

from pages.components.shared.download import download
from pages.components.shell import address
from pages.components.shell.loaded import Key, key_of
from pages.components.shell.tables import Cell, Row, html_table
from pages.components.shell.text import Html, plain
from pages.components.widgets.run_compare import run_compare
from transformer.config import RunConfig
from transformer.errors import RunError
from transformer.runs.comparison import (
    X_AXES,
    Curves,
    Difference,
    Repeat,
    baselines,
    curves,
    curves_csv,
    differences,
    origin,
    repeats,
)
from transformer.runs.directory import Run
from transformer.runs.metrics import METRICS
from transformer.runs.table import Summary

SCALES = {"linear": "Linear", "log": "Log loss", "log-log": "Log loss, log axis"}
QUANTITIES = {  # title -> kind of point, column, unit, whether it is a loss
    "Evaluation loss": ("evaluation", 3, "loss (nats per token)", True),
    "Training loss": ("train", 3, "loss (nats per token)", True),
    "Exact match": ("evaluation", 4, "share of right answers", False),
    "Learning rate": ("train", 4, "learning rate", False),
}


def labels(summaries: Sequence[Summary]) -> list[str]:
    """The runs' titles; those with equal titles have their ids, too."""
    count = Counter(summary.title for summary in summaries)
    return [
        summary.title if count[summary.title] == 1 else f"{summary.title} [{summary.id}]"
        for summary in summaries
    ]


@st.cache_resource(max_entries=32)
def _curves(path: str, metrics: Key | None, target_vocab_size: int) -> Curves:
    return curves(Run(Path(path)).metrics(), target_vocab_size)


@st.cache_resource(max_entries=32)
def _repeats(paths: tuple[str, ...], metrics: tuple[Key | None, ...]) -> list[Repeat]:
    """Compare runs with equal settings and seed. Cached, as reading a long run takes a while."""
    runs = [Run(Path(path)) for path in paths]
    origins = [origin(run, run.config()) for run in runs]
    twice = {one for one, count in Counter(origins).items() if count > 1}
    return repeats(
        origins,
        [run.metrics() if one in twice else [] for run, one in zip(runs, origins, strict=True)],
    )


def comparison(runs: Sequence[Run], summaries: Sequence[Summary]) -> None:
    """Draw everything about the chosen runs together."""
    sound: list[tuple[str, Run, RunConfig]] = []
    for name, run in zip(labels(summaries), runs, strict=True):
        with suppress(RunError):  # a damaged run is reported beside its controls
            sound.append((name, run, run.config()))
    if not sound:
        return
    names = [name for name, _, _ in sound]
    for repeat in _repeats(
        tuple(str(run.path.absolute()) for _, run, _ in sound),
        tuple(key_of(run.path / METRICS) for _, run, _ in sound),
    ):
        st.markdown(_said(repeat, names))
    drawn = {
        name: _curves(
            str(run.path.absolute()), key_of(run.path / METRICS), config.model.target_vocab_size
        )
        for name, run, config in sound
    }
    learned = [name for name, _, config in sound if config.data.evaluates_on_training_pairs]
    if 0 < len(learned) < len(sound):
        st.info(
            f"Measured on their own training pairs: {', '.join(map(plain, learned))}. The others "
            "are measured on held-out pairs, which is harder: do not rank the two kinds together."
        )
    x, scale = _axes()
    run_compare(
        drawn,
        baselines(list(drawn.values())),
        x=x,
        logarithmic_loss=scale != "linear",
        logarithmic_x=scale == "log-log",
        key="run comparison",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        download(
            "Curves as CSV",
            lambda: curves_csv([(name, run) for name, run, _ in sound]),
            "curves.csv",
        )
        save = st.toggle("A figure to save, as PNG or SVG", key="figure to save")
    if save:
        _figure(drawn, x, scale)
    if len(sound) > 1:
        st.markdown("**What differs in their settings**")
        _differences(names, differences([config for _, _, config in sound]))


def _axes() -> tuple[str, str]:
    """Fields for the axis and the scale, both in the address."""
    with st.container(horizontal=True):
        x = _option("x", "Over", {name: name.capitalize() for name in X_AXES})
        scale = _option("scale", "Scale", SCALES)
    return x, scale


def _option(key: str, label: str, options: dict[str, str]) -> str:
    first = next(iter(options))
    address.read(key, first, options)
    chosen: str = (
        st.segmented_control(
            label, list(options), format_func=options.__getitem__, key=key, required=True
        )
        or first
    )
    address.write(key, chosen)
    return chosen


def _differences(names: Sequence[str], rows: Sequence[Difference]) -> None:
    if not rows:
        st.markdown("Nothing: all their settings are the same, the seed included.")
        return
    lines: list[Row] = [
        (Cell(row.name, title=row.help), *map(_isolated, row.values)) for row in rows
    ]
    head = ("Setting", *map(_isolated, names))
    st.html(html_table("differences", head, lines, label="Settings that differ"))


def _isolated(text: str) -> Html:
    """A text in <bdi>, so that right-to-left writing does not reorder its neighbours."""
    return Html(f"<bdi>{html.escape(text)}</bdi>")


def _said(repeat: Repeat, names: Sequence[str]) -> str:
    """Whether a rerun gave the same numbers, in a sentence."""
    pair = f"**{plain(names[repeat.first])}** and **{plain(names[repeat.second])}**"
    same = f"{pair} have the same settings and seed"
    if repeat.points == 0 and repeat.differs is None:
        return f"{same}; nothing that both recorded can be compared yet."
    if repeat.differs is None:
        return (
            f":material/check_circle: {same}, and gave the same: all {repeat.points:,} numbers "
            f"that both recorded, up to step {repeat.step:,}, are equal bit for bit."
        )
    name, first, second = repeat.differs
    return (
        f":material/warning: {same}, but they part at step {repeat.step:,}: {name} "
        f"{first!r} against {second!r}. Another machine, torch or app version, or number of "
        "threads rounds differently."
    )


def _figure(drawn: dict[str, Curves], x: str, scale: str) -> None:
    """Draw one chart as a Plotly figure, which the browser can save without the server."""
    from transformer.figures.curves import run_comparison

    with st.container(horizontal=True):
        title = st.segmented_control("Chart", list(QUANTITIES), default="Evaluation loss",
                                     key="figure chart", required=True)  # fmt: skip
        kind = st.segmented_control("Format", ["PNG", "SVG"], default="PNG",
                                    key="figure format", required=True)  # fmt: skip
    of, column, unit, loss = QUANTITIES[title]
    place, logarithmic_x = list(X_AXES).index(x), scale == "log-log"
    found = [
        (name, [
            (point[place], point[column])
            for point in getattr(one, of)
            if point[place] is not None and point[column] is not None
        ])
        for name, one in drawn.items()
    ]  # fmt: skip
    lines = [
        (line.name if len(line.runs) == len(drawn) else
         f"{line.name} ({', '.join(list(drawn)[place] for place in line.runs)})", line.loss)
        for line in baselines(list(drawn.values()))
    ]  # fmt: skip
    figure = run_comparison(
        found,
        lines if loss else (),
        title=title,
        x_title=X_AXES[x],
        y_title=unit,
        logarithmic_x=logarithmic_x,
        logarithmic_y=loss and scale != "linear",
    )
    st.caption(f"The camera above the figure saves it as {kind}.")
    st.plotly_chart(
        figure,
        theme=None,
        key=f"figure {title} {kind}",
        config={
            "displaylogo": False,
            "displayModeBar": True,
            "modeBarButtons": [["toImage"]],
            "toImageButtonOptions": {
                "format": kind.lower(),
                "filename": title.lower().replace(" ", "-"),
                "width": 900,
                "height": 520,
                "scale": 1 if kind == "SVG" else 2,
            },
        },
    )

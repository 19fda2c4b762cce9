"""How a checkpoint's model learned: its curves against the untrained model, and the settings."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.checkpoints.actions import run_of
from pages.components.shared.history import history_of
from pages.components.shell.models import Listed
from pages.components.shell.text import plain
from transformer.config.names import name_of, shown

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.checkpoint.header import Summary


@dataclass(frozen=True)
class Curve:
    """Points [step, value] of training batches and evaluations, up to the checkpoint's step."""

    batches: list[list[float]]
    losses: list[list[float]]
    exact: list[list[float]]


def panel(entry: Listed, checkpoint: "Checkpoint") -> None:
    """Draw the curves, and the settings in an expander."""
    summary = checkpoint.summary
    if summary is None:
        st.info("This model was trained elsewhere; its file says nothing of how it learned.")
        return
    curve = _curve(entry, summary)
    if curve is None:
        st.info(
            "This file has no curve: an older version of the app saved it, or it is an average "
            "of several checkpoints. Its scores before and after training are above."
        )
    else:
        _charts(curve, summary, checkpoint)
    with st.expander("Settings of the training"):
        rows = {"preset": summary.preset, **summary.training}
        st.table(
            pd.DataFrame(
                {"value": [plain(shown(value)) for value in rows.values()]},
                index=[plain(name_of(name)) for name in rows],
            ),
            border="horizontal",
            hide_header=True,
        )


def _curve(entry: Listed, summary: "Summary") -> Curve | None:
    """The full curves of the checkpoint's run; else those in its file; None without any."""
    run = run_of(entry)
    if run is not None:
        curves = history_of(run).curves(run.config())

        def until(points: list[list[float]]) -> list[list[float]]:
            return [point for point in points if point[0] <= summary.steps]

        if len(losses := until(curves["evaluation"])) > 1:
            return Curve(until(curves["train"]), losses, until(curves["exact"]))
    points = summary.curve
    if len(points) < 2:
        return None
    return Curve([], [point[:2] for point in points], [[point[0], point[2]] for point in points])


def _charts(curve: Curve, summary: "Summary", checkpoint: "Checkpoint") -> None:
    from transformer.figures.curves import exact_match_curve, loss_curves

    kind = "the training pairs" if summary.evaluated_on_training_pairs else "held-out pairs"
    baselines = {
        "untrained model": summary.untrained_loss,
        "uniform guess, ln|V|": math.log(checkpoint.config.target_vocab_size),
    }
    left, right = st.columns(2)
    with left:
        st.plotly_chart(
            loss_curves(curve.batches, curve.losses, baselines, kind), key="card losses"
        )
    with right:
        st.plotly_chart(
            exact_match_curve(curve.exact, summary.untrained_exact_match, kind), key="card exact"
        )
    with st.expander("The same as a table"):
        matched = {point[0]: point[1] for point in curve.exact}
        st.dataframe(
            pd.DataFrame(
                [
                    {"step": int(step), "loss": loss, "exact match": matched.get(step)}
                    for step, loss, *_ in curve.losses
                ]
            ),
            hide_index=True,
        )

"""Average several checkpoints, and see whether the held-out score rises (section 6.1)."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from pages.components.checkpoints.actions import run_of
from pages.components.shell import browser, jobs, models, session
from pages.components.shell.checkpoint_headers import Facts, facts_of
from pages.components.shell.frame import problem
from pages.components.shell.models import Listed
from pages.components.shell.text import number, percent, plain
from pages.components.stores import uploads
from transformer.errors import UserError, explaining
from transformer.evaluation.held_out import own_pairs

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.evaluation.averaging import Averaged

JOB = "averaging study"
AT_FIRST = 5
"""Number of checkpoints proposed at first: as many as the paper averages for its base models."""
MOST = 20
MOST_NUMBERS = 300_000_000
"""Maximum number of weights of all chosen models together, which are in memory at the same time."""


def panel(entry: Listed, checkpoint: "Checkpoint") -> None:
    """Choose checkpoints, average and score them, see the result, store it."""
    st.markdown(
        "One model whose weights are the mean of several points of the same training. The paper "
        "averages its last 5. Here each of them and the average are scored on the same held-out "
        "pairs, so that you see whether averaging helped."
    )
    options = _candidates(entry)
    if len(options) < 2:
        st.info(
            "There is no checkpoint to average this one with: an average takes two or more of "
            "the same architecture, vocabularies and data. A run trained here keeps its last "
            "five."
        )
        return
    labels = {one.id: one.label for one in options}
    key = f"averaged {checkpoint.header.sha256}"
    chosen = st.multiselect(
        "Checkpoints to average",
        list(labels),
        default=_proposed(entry, options),
        format_func=labels.__getitem__,
        key=key,
        max_selections=MOST,
    )
    picked = [one for one in options if one.id in chosen]
    numbers = len(picked) * checkpoint.config.num_parameters
    if numbers > MOST_NUMBERS:
        most = MOST_NUMBERS // checkpoint.config.num_parameters
        st.warning(
            f"These models do not fit into memory together; choose at most {most}, or use python "
            "-m transformer average on a larger machine."
            if most > 1
            else (
                "Models of this size are averaged from a terminal: python -m transformer average."
            )
        )
        return
    name = tuple(one.id for one in picked)
    job = jobs.current(JOB, name)
    if st.button(
        f"Average {len(picked)} and score them" if picked else "Average and score them",
        type="primary",
        disabled=len(picked) < 2,
        icon=":material/join:",
    ):
        st.session_state[JOB] = job = jobs.start(
            name, lambda: _work([one.path for one in picked], own_pairs(picked[-1].path))
        )
    result = jobs.show(job, "Scoring each of them, the average, and the untrained model")
    if result is not None:
        _result(result, _short(picked))  # type: ignore[arg-type]


def _candidates(entry: Listed) -> list[Listed]:
    """Checkpoints that can be averaged with this one: its own run's first, by rising step."""
    found, ours = [], facts_of(entry.path)
    for one in models.listed_checkpoints().values():
        other = facts_of(one.path)
        if ours is None or other is None:
            continue
        same = replace(other, summary=ours.summary, fault=ours.fault, compared=ours.compared)
        if same == ours:
            found.append((one, other))

    def order(pair: tuple[Listed, Facts]) -> tuple[bool, str, int]:
        one, other = pair
        return (
            one.path.parent != entry.path.parent or not one.id.startswith("run-"),
            str(one.path.parent),
            other.summary.steps if other.summary else 0,
        )

    return [one for one, _ in sorted(found, key=order)]


def _proposed(entry: Listed, options: Sequence[Listed]) -> list[str]:
    """Ids chosen at first: a run's last five trained snapshots; else this checkpoint alone."""
    if run_of(entry) is None:
        return [entry.id]
    own = [one for one in options if one.path.parent == entry.path.parent]
    return [one.id for one in own if not one.id.endswith("-0")][-AT_FIRST:]


def _short(picked: Sequence[Listed]) -> list[str]:
    """Labels on a chart: only the steps, if all are from one run."""
    if len({one.path.parent for one in picked}) > 1 or run_of(picked[0]) is None:
        return [one.label for one in picked]
    steps = [int(one.id.rsplit("-", 1)[1]) for one in picked]
    return [f"step {step:,}" if step else "untrained" for step in steps]


def _work(paths: Sequence[Path], pairs: Path | None) -> Generator[object, None, None]:
    from transformer.checkpoint import Checkpoint
    from transformer.evaluation.averaging import averaging
    from transformer.evaluation.held_out import held_out, task_of

    checkpoints = [Checkpoint.load(path) for path in paths]
    task = task_of(checkpoints[-1], pairs)
    yield from averaging(checkpoints, task, held_out(checkpoints[-1], task))


def _result(found: "Averaged", labels: Sequence[str]) -> None:
    """Draw the verdict, both scores as bars, the table, and a button that stores the average."""
    from transformer.figures.curves import bars

    st.markdown(f"**{plain(found.verdict)}**")
    names = [*labels, f"Average of {len(labels)}"]
    scored = [*found.members, found.average]
    kind = "training" if found.average.on_training_pairs else "held-out"
    where = f"{found.average.examples:,} {kind} pairs"
    left, right = st.columns(2)
    with left:
        st.plotly_chart(
            bars(
                names,
                [100 * one.exact_match for one in scored],
                [percent(one.exact_match) for one in scored],
                title=f"Exact match on {where}",
                value_title="exact match (%)",
                marked=len(labels),
                highest=125,
            ),
            key="average exact",
            config={"displayModeBar": False},
        )
    with right:
        st.plotly_chart(
            bars(
                names,
                [one.loss for one in scored],
                [number(one.loss) for one in scored],
                title=f"Loss on {where}",
                value_title="loss (nats per token)",
                marked=len(labels),
            ),
            key="average loss",
            config={"displayModeBar": False},
        )
    with st.expander("The same as a table"):
        st.dataframe(
            pd.DataFrame(
                {
                    "Checkpoint": names,
                    "Right": [sum(one.right) for one in scored],
                    "Exact match": [percent(one.exact_match) for one in scored],
                    "Loss": [one.loss for one in scored],
                    "Tokens right": [percent(one.token_accuracy) for one in scored],
                }
            ),
            hide_index=True,
        )
    st.button(
        "Keep the average",
        icon=":material/save:",
        key="keep average",
        on_click=_keep,
        args=(found, len(labels)),
        help="Saves it as an upload of yours, with the scores measured here.",
    )
    if "average problem" in st.session_state:
        problem(st.session_state.pop("average problem"))


def _keep(found: "Averaged", count: int) -> None:
    name = f"{found.checkpoint.task}, average of {count}.safetensors"
    try:
        with explaining("The average could not be kept"):
            kept, checkpoint = uploads.keep(name, found.checkpoint, browser.owner())
        session.remember(kept.path, checkpoint)
        st.session_state["checkpoint"] = kept.id
        st.session_state["kept average"] = kept.id
        st.session_state.pop(JOB, None)
    except UserError as error:
        st.session_state["average problem"] = error


def follow_kept() -> None:
    """After an average was stored from within the card's fragment, redraw the whole page."""
    if st.session_state.pop("kept average", None) is not None:
        st.rerun(scope="app")

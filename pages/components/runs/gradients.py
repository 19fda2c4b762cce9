"""Gradients by layer before the first update, with pre-norm and with post-norm."""

from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path

import streamlit as st

from pages.components.shell import jobs
from transformer.runs.directory import Run

PAIRS = 32
MOST_PARAMETERS = 20_000_000
"""Largest model whose gradients are computed in the app's own process."""
DRAWINGS = 3
"""Number of random initialisations to average over; the first has the run's own seed."""

Norms = Mapping[str, Mapping[str, list[float]]]


def gradients_panel(run: Run) -> None:
    """Draw a button, then a curve for each stack and order of norms; not in a fragment."""
    config = run.config()
    layers = max(config.model.num_encoder_layers, config.model.num_decoder_layers)
    if layers < 2 or config.model.num_parameters > MOST_PARAMETERS:
        return
    name = ("gradients", str(run.path.resolve()))
    job = jobs.shared(name)
    if job is None:
        pressed = st.button(
            "Gradients by layer, before the first update",
            icon=":material/stacked_line_chart:",
            help="Gradients of new models like this one, with the norms after and before each "
            "sub-layer.",
            key=f"gradients {run.id}",
        )
        if not pressed:
            return
        job = jobs.share(name, partial(measure, run.path), jobs.STUDIES)
    found = jobs.show(job, "Gradients")
    if isinstance(found, dict):
        draw(found, config.model.norm_first, run.id)


def measure(path: Path) -> Generator[object, None, None]:
    """The work of a job: gradient norms of new models on a batch of the run's held-out pairs."""
    yield "Loading PyTorch"
    from transformer.analysis.gradients import by_norm_order
    from transformer.tasks import build_task
    from transformer.training.batches import collate, encode

    run = Run(path)
    config = run.config()
    task = build_task(config.data, run.data_file)
    batch = collate(encode(task, task.held_out(PAIRS)), config.model)
    seeds = [config.training.seed + number for number in range(DRAWINGS)]
    yield from by_norm_order(config.model, batch, seeds)


def draw(found: Norms, norm_first: bool, key: str) -> None:
    """Draw the curves, and what to look for."""
    from transformer.figures.curves import named_curves

    own = "pre-norm" if norm_first else "post-norm"
    curves = {
        f"{stack}, {order}{' (this run)' if order == own else ''}": list(enumerate(norms, 1))
        for order, stacks in found.items()
        for stack, norms in stacks.items()
    }
    st.plotly_chart(
        named_curves(
            curves,
            "layer, from the input on",
            "norm of the gradient of W₂",
            title="Gradients by layer at initialisation",
        ),
        key=f"gradients of {key}",
    )
    st.caption(
        "Look at the last layers: the deeper a post-norm model, the more their gradients stand "
        "out, which is why it needs a warm-up (Xiong et al., 2020). The lines are means of three "
        f"random initialisations, on one batch of {PAIRS} held-out pairs. *Learn*, *Experiments* "
        "shows the same by depth."
    )

"""Short trainings for experiments: a small model, a few hundred updates, evaluated at the end."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from transformer.config import RunConfig
from transformer.experiments.experiment import Settings
from transformer.faults import plant
from transformer.model import Transformer
from transformer.tasks import Task
from transformer.tasks.presets import prepare
from transformer.training.loop import Training, Update, evaluate_loss, evaluate_outputs

EXAMPLES, FEW = 300, 40
"""Number of held-out pairs on which a trained model is evaluated, in the full and short form."""
LETTERS = {"min_letters": 1, "max_letters": 8}
"""Lengths of the words that most of these models are trained on."""


@dataclass(frozen=True)
class Trained:
    """A trained model, evaluated on held-out pairs.

    loss: in nats per token, given the true tokens. tokens: share predicted right, likewise.
    exact: share of whole outputs that are right when the model decodes by itself.
    losses: training loss of each update's batch.
    """

    model: Transformer
    task: Task
    loss: float
    tokens: float
    exact: float
    losses: tuple[float, ...]


def train(
    task: str,
    steps: int,
    settings: Settings,
    *,
    fault: str = "",
    data: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Generator[float, None, Trained]:
    """Train the small preset's model; yields the share done and returns the evaluated model.

    Args:
        fault: name of a fault to plant in the model before training.
    """
    changes = fixed_settings(settings.seed, steps) | dict(training or {})
    built, config = prepare(task, "small", data=data, model=model, training=changes)
    learner, updates = learning(built, config, fault)
    losses = list[float]()
    for update in updates:
        losses.append(update.loss)
        yield update.step / steps
    pairs = built.held_out(FEW if settings.short else EXAMPLES)
    loss = evaluate_loss(learner, built, pairs, steps)
    outputs = evaluate_outputs(learner, built, pairs, steps)
    return Trained(
        learner, built, loss.loss, loss.token_accuracy, outputs.exact_match, tuple(losses)
    )


def learning(
    task: Task, config: RunConfig, fault: str = ""
) -> tuple[Transformer, Iterator[Update]]:
    """An untrained model and an iterator over the updates of its training, run lazily."""
    torch.manual_seed(config.training.seed)
    model = Transformer(config.model)
    if fault:
        plant(model, fault)
    events = Training(model, task, config.training).events()
    return model, (event for event in events if isinstance(event, Update))


def fixed_settings(seed: int, steps: int) -> dict[str, Any]:
    """The settings that all trainings of ``steps`` updates share: one thread, one evaluation.

    Batch size and bucketing are fixed too, so that a change of a task's recipe does not change
    the measured results.
    """
    return {
        "steps": steps,
        "batch_size": 128,
        "bucketing": True,
        "seed": seed,
        "eval_every": steps,
        "eval_examples": 8,
        "final_examples": 8,
        "threads": 1,
        "precision": "fp32",
    }


def scaled_progress(
    running: Generator[float, None, Trained], start: float, end: float
) -> Generator[float, None, Trained]:
    """Run a training as part of an experiment: its progress is scaled to ``start`` .. ``end``."""
    while True:
        try:
            share = next(running)
        except StopIteration as stop:
            found: Trained = stop.value
            return found
        yield start + share * (end - start)

"""Short trainings for experiments: a small model, some hundred updates, measured at the end."""

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
"""Held-out pairs that a trained model is measured on, and in the short form."""
LETTERS = {"min_letters": 1, "max_letters": 8}
"""The words that most of these models learn from."""


@dataclass(frozen=True)
class Trained:
    """A model after its training, on pairs that it never saw.

    loss: in nats a token, given the true tokens. tokens: share of them predicted right so.
    exact: share of whole outputs that are right, written freely. losses: of each update's batch.
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
    """Train the small preset's model; yields the share done and returns what it has learned.

    Args:
        fault: to plant in the model before it learns, by name.
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
    """A fresh model, and the updates of its training, each made when it is asked for."""
    torch.manual_seed(config.training.seed)
    model = Transformer(config.model)
    if fault:
        plant(model, fault)
    events = Training(model, task, config.training).events()
    return model, (event for event in events if isinstance(event, Update))


def fixed_settings(seed: int, steps: int) -> dict[str, Any]:
    """What trainings of so many steps have in common: one thread, no evaluation in between.

    And batches that no task's recipe changes, so that what was measured stays so.
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


def within(
    running: Generator[float, None, Trained], start: float, end: float
) -> Generator[float, None, Trained]:
    """A training as a part of an experiment, from one share of it to another."""
    while True:
        try:
            share = next(running)
        except StopIteration as stop:
            found: Trained = stop.value
            return found
        yield start + share * (end - start)

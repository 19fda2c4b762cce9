"""The break-it lab: its recipes, and the outcome of a faulty run beside its healthy copy."""

from functools import cache

import pytest
import torch

from transformer.config import RunConfig
from transformer.config.faults import NAMES
from transformer.errors import ConfigError
from transformer.faults import FAULTS, plant_of_run
from transformer.model import Transformer
from transformer.runs.lab import HIDDEN_FAULTS, Result, outcome, recipe
from transformer.tasks import build_task
from transformer.training.loop import Loss, Outputs, Training

HEALTHY = Result("finished", 0.01, 0.99, 0.98)
AS_WELL, LESS, WRONG_ALONE, NOT_AT_ALL = range(4)
SEEN = {
    "targets-not-shifted": WRONG_ALONE,
    "targets-shifted-twice": WRONG_ALONE,
    "eos-never-taught": WRONG_ALONE,
    "softmax-before-cross-entropy": NOT_AT_ALL,
    "padding-in-loss": AS_WELL,
    "gradients-not-zeroed": AS_WELL,
    "parameters-not-optimized": LESS,
    "learning-rate-too-high": NOT_AT_ALL,
    "no-warmup": LESS,
    "wrong-start-token": WRONG_ALONE,
    "decoding-position-zero": WRONG_ALONE,
    "no-eval-mode": LESS,
    "no-causal-mask": WRONG_ALONE,
    "keys-values-swapped": AS_WELL,
    "no-activation": AS_WELL,
}
"""Outcomes of some faults, among them the surprising ones."""


@pytest.mark.parametrize(
    ("faulty", "expected"),
    [
        (Result("finished", 0.012, 0.99, 0.97), AS_WELL),
        (Result("finished", 0.3, 0.95, 0.7), LESS),
        (Result("finished", 0.001, 1.0, 0.0), WRONG_ALONE),
        (Result("finished", 3.0, 0.4, 0.0), NOT_AT_ALL),
        (Result("diverged", 0.01, 0.99, 0.98), NOT_AT_ALL),
        (Result("failed", None, None, None), NOT_AT_ALL),
    ],
)
def test_what_became_of_it(faulty: Result, expected: int) -> None:
    assert outcome(faulty, HEALTHY) == expected


def test_nothing_is_said_where_the_healthy_copy_has_not_learned() -> None:
    assert outcome(HEALTHY, Result("finished", 3.0, 0.3, 0.1)) is None
    assert outcome(HEALTHY, Result("failed", None, None, None)) is None


@pytest.mark.parametrize("name", NAMES)
def test_both_copies_differ_in_the_fault_alone_and_can_have_it(name: str) -> None:
    faulty, healthy = recipe(name), recipe(name, healthy=True)
    assert faulty.training.replace(fault="") == healthy.training
    assert (faulty.model, faulty.data) == (healthy.model, healthy.data)
    assert FAULTS[name].applies(faulty.model)


def test_what_is_to_be_found_is_a_fault_and_not_said_in_the_settings() -> None:
    assert set(HIDDEN_FAULTS) <= FAULTS.keys()
    assert len({FAULTS[name].title for name in HIDDEN_FAULTS}) == len(HIDDEN_FAULTS)
    with pytest.raises(ConfigError, match="There is no fault"):
        recipe("no-residual", hidden_as="hidden-ab-12")


@cache
def trained(config: RunConfig) -> Result:
    """The lab's result of a run that is trained in memory as the trainer does."""
    task = build_task(config.data, None)
    torch.manual_seed(config.training.seed)
    model = Transformer(config.model)
    plant_of_run(model, config.training.fault)
    loss, outputs = Loss(0, 0.0, 0.0), Outputs(0, 0.0, [], [])
    for event in Training(model, task, config.training).events():
        if isinstance(event, Loss):
            loss = event
        elif isinstance(event, Outputs):
            outputs = event
    return Result("finished", loss.loss, loss.token_accuracy, outputs.exact_match)


@pytest.mark.long
@pytest.mark.parametrize("name", SEEN)
def test_what_letters_show_of_a_fault(name: str) -> None:
    assert outcome(trained(recipe(name)), trained(recipe(name, healthy=True))) == SEEN[name]

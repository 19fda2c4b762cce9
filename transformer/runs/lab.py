"""The break-it lab: one recipe for a faulty model and its healthy copy, and what became of them.

Reversing 3 to 6 letters takes the healthy copy 500 updates. Loads no torch.
"""

from collections.abc import Mapping
from typing import Any

from transformer.config import RunConfig
from transformer.tasks.presets import prepare

STEPS = 500
DATA = {"min_letters": 3, "max_letters": 6}
TRAINING = {
    "steps": STEPS,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "warmup_steps": 100,
    "decay_fraction": 0.4,
    "eval_every": 50,
    "eval_examples": 100,
    "final_examples": 256,
    "precision": "fp32",
    "device": "cpu",
}
MODEL_OF: Mapping[str, Mapping[str, Any]] = {
    "dropout-in-eval": {"dropout": 0.1},
    "no-eval-mode": {"dropout": 0.1},
    "no-warmup": {"norm_first": False, "final_norm": False},
}
"""What a fault needs to be there at all, in both copies."""
TRAINING_OF: Mapping[str, Mapping[str, Any]] = {"no-warmup": {"learning_rate": 6e-3}}


def recipe(fault: str, *, hidden_as: str = "", threads: int = 1, steps: int = STEPS) -> RunConfig:
    """The settings of the run with this fault; with "" of a healthy copy.

    Args:
        hidden_as: what stands for the fault in the run's settings, where it is to be found.
    """
    return _recipe(fault, hidden_as or fault, threads, steps)


def healthy(fault: str, *, threads: int = 1, steps: int = STEPS) -> RunConfig:
    """The settings of the healthy copy beside a fault."""
    return _recipe(fault, "", threads, steps)


def _recipe(fault: str, planted: str, threads: int, steps: int) -> RunConfig:
    training = TRAINING | dict(TRAINING_OF.get(fault, {}))
    training |= {"steps": steps, "threads": threads, "fault": planted}
    if steps < STEPS:
        training |= {"eval_every": max(1, steps // 4), "final_examples": 32, "eval_examples": 32}
    model = dict(MODEL_OF.get(fault, {}))
    return prepare("reverse", "small", data=DATA, model=model, training=training)[1]

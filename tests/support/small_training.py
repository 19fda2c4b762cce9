"""Tasks, configurations and models of a few thousand weights, for tests of training."""

from typing import Any

import pytest
import torch
from torch import Tensor

from transformer.config import RunConfig
from transformer.model import Transformer
from transformer.tasks import Task
from transformer.tasks.presets import prepare
from transformer.training.fast_model import FastModel
from transformer.training.packing import Rows

SMALL: dict[str, Any] = {"d_model": 16, "num_heads": 2, "d_ff": 16}
QUICK: dict[str, Any] = {
    "steps": 6,
    "batch_size": 8,
    "warmup_steps": 2,
    "eval_every": 2,
    "eval_examples": 8,
    "final_examples": 12,
    "threads": 1,
    "optimizer": "adam",
    "bucketing": True,
    "learning_rate": 2e-3,
    "precision": "fp32",  # else a timing decides, which can differ between two runs
}


def made(task: str = "reverse", preset: str = "tiny", **changes: Any) -> tuple[Task, RunConfig]:
    """A task and a configuration of a few thousand weights."""
    return prepare(
        task,
        preset,
        pairs=changes.pop("pairs", None),
        data=changes.pop("data", {}),
        model=SMALL | changes.pop("model", {}),
        training=QUICK | changes,
    )


def fresh(config: RunConfig) -> Transformer:
    """A new model, initialised as by the trainer."""
    torch.manual_seed(config.training.seed)
    return Transformer(config.model)


def weights(model: Transformer) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )


def packed_sides(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, ...]]:
    """For each packed batch from now on, whether its source and its target are packed."""
    found: list[tuple[bool, ...]] = []
    real = FastModel.packed

    def packed(self: FastModel, source: Tensor, target: Tensor, rows: tuple[Rows, Rows]) -> Tensor:
        found.append(tuple(side.packed for side in rows))
        return real(self, source, target, rows)

    monkeypatch.setattr(FastModel, "packed", packed)
    return found

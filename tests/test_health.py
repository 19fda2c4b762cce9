"""The health check names real faults in real trainings, and keeps quiet about healthy ones."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from transformer import baselines, batches, model, training
from transformer.batches import Batch, collate, encode
from transformer.config import TransformerConfig
from transformer.health import (
    Curve,
    Finding,
    check_attention,
    check_curve,
    check_first_loss,
    check_generation,
    check_gradients,
    check_model,
    check_parts,
    check_run,
    check_targets,
    untrained_loss_bound,
)
from transformer.model import Transformer
from transformer.presets import prepare
from transformer.runs import Run, create_run
from transformer.tasks import Task
from transformer.trainer import Trainer
from transformer.training import evaluate_loss

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"d_model": 32, "d_ff": 64, "num_heads": 2, "max_length": 16}
SHORT = {
    "batch_size": 32,
    "steps": 150,
    "warmup_steps": 30,
    "eval_every": 75,
    "eval_examples": 64,
    "final_examples": 64,
    "threads": 1,
}


def trained(folder: Path, seed: int = 1, **changes: Any) -> Run:
    """A run on words of up to four letters, really trained, in this process and under its code."""
    _, config = prepare(
        "reverse",
        "tiny",
        data={"max_letters": 4},
        model=SMALL,
        training=SHORT | {"seed": seed} | changes,
    )
    run = create_run(config, path=folder / f"run-{seed}")
    Trainer(run, lambda _: None).train()
    return run


def alarms(findings: list[Finding]) -> list[str]:
    return [finding.sentence for finding in findings if finding.alarm]


def put_everywhere(
    monkeypatch: pytest.MonkeyPatch, original: Callable[..., Any], fault: Callable[..., Any]
) -> None:
    """Replace a function in every module of ours that imported it."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "transformer" and vars(module).get(original.__name__) is original:
            monkeypatch.setattr(module, original.__name__, fault)


# --- The four faults ---------------------------------------------------------------------


def targets_not_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*arguments: Any) -> Batch:
        batch = collate(*arguments)
        return replace(batch, target_in=batch.target_out)

    put_everywhere(monkeypatch, batches.collate, fault)


def causal_mask_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
        return torch.ones(queries, keys, dtype=torch.bool, device=device)

    put_everywhere(monkeypatch, model.causal_mask, fault)


def softmax_over(axis: int) -> Callable[[pytest.MonkeyPatch], None]:
    def inject(monkeypatch: pytest.MonkeyPatch) -> None:
        def fault(scores: Tensor, mask: Tensor | None = None) -> Tensor:
            if mask is not None:
                scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
            return torch.softmax(scores, dim=axis)

        put_everywhere(monkeypatch, model.attention_weights, fault)

    return inject


def rate_100_times_too_high(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = training.learning_rate
    put_everywhere(monkeypatch, rate, lambda *arguments: 100 * rate(*arguments))


FAULTS = {
    "targets not shifted": (
        targets_not_shifted,
        "The decoder can see the token it has to predict: the targets are not shifted right",
    ),
    "causal mask missing": (causal_mask_missing, "The causal mask is missing"),
    "softmax over the queries": (softmax_over(-2), "Softmax over the wrong axis"),
    "softmax over the heads": (softmax_over(1), "Softmax over the wrong axis"),
    "learning rate 100 times too high": (rate_100_times_too_high, "The learning rate is too high"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_training_is_named(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inject, cause = FAULTS[fault]
    inject(monkeypatch)
    findings = check_run(trained(tmp_path))
    problems = [finding.sentence for finding in findings if finding.state == "problem"]
    assert any(cause in sentence for sentence in problems)
    # Whatever else is said, no other cause is named.
    others = {other for _, other in FAULTS.values()} - {cause}
    assert not [s for s in alarms(findings) if any(other in s for other in others)]


@pytest.mark.parametrize("inject", [targets_not_shifted, causal_mask_missing])
def test_a_run_trained_before_the_code_was_mended_is_told_apart(
    inject: Callable[[pytest.MonkeyPatch], None], tmp_path: Path
) -> None:
    """The weights were trained with the fault; the check runs without it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        inject(monkeypatch)
        run = trained(tmp_path)
    problems = alarms(check_run(run))
    assert any("trained by other code" in sentence for sentence in problems)


@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(s, marks=pytest.mark.long) for s in range(3, 21))]
)
def test_a_healthy_run_raises_no_alarm(seed: int, tmp_path: Path) -> None:
    assert alarms(check_run(trained(tmp_path, seed))) == []

"""Faults of training and decoding: what each changes, and which check (witness) names it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.places import bundled_file
from tests.support.small_training import made
from tests.support.witnesses import OUTSIDE as WITNESS
from transformer.checkpoint import Checkpoint
from transformer.config import RunConfig, TrainingConfig
from transformer.config.faults import NAMES, OUTSIDE, hide, is_hidden, reveal
from transformer.decoding.engines.engine import ModelSteps, step_decoder
from transformer.decoding.strategies import decode
from transformer.errors import CheckpointError, ConfigError
from transformer.faults import FAULTS, plant, plant_of_run, practice_of
from transformer.health import Finding, check_generation, check_loss, check_run
from transformer.model import Transformer
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.goals import OverfitCheck, add_evidence
from transformer.tasks import build_task
from transformer.trainer.trainer import Trainer
from transformer.training.batches import collate, encode
from transformer.training.loop import training_loss
from transformer.training.optimizer import learning_rate, optimizer_of

BUNDLED = bundled_file("reverse")
NAMED: Mapping[str, tuple[str, str]] = {
    "targets-not-shifted": ("invariant", "the targets are not shifted right"),
    "targets-shifted-twice": ("invariant", "is not the target shifted right by one"),
    "eos-never-taught": ("invariant", "<eos> is not among the targets"),
    "softmax-before-cross-entropy": ("loss", "The softmax is taken twice"),
    "padding-in-loss": ("loss", "The loss counts <pad>"),
    "gradients-not-zeroed": ("gradients", "The gradients are never set to zero"),
    "parameters-not-optimized": ("gradients", "The optimizer never moved encoder"),
    "learning-rate-too-high": ("curve", "The rate went up to 0.02"),
    "no-warmup": ("curve", "There is no warm-up"),
    "wrong-start-token": ("decoding", "Decoding feeds the model something else"),
    "decoding-position-zero": ("decoding", "Decoding feeds the model something else"),
    "no-eval-mode": ("invariant", "The model gives other logits each time"),
}
"""For each fault the check (witness) that names it, and words of its finding."""
AT_ONCE = [
    *("targets-not-shifted", "targets-shifted-twice", "eos-never-taught", "padding-in-loss"),
    *("softmax-before-cross-entropy", "gradients-not-zeroed", "no-eval-mode"),
]
"""Faults that are found before the first update."""


PLANTED_AGAIN = ("wrong-start-token", "targets-not-shifted")


def config_with(fault: str, **changes: Any) -> RunConfig:
    drops = {"dropout": 0.1} if fault == "no-eval-mode" else {}
    return made(fault=fault, model=drops, **changes)[1]


def run_of(config: RunConfig, folder: Path) -> Run:
    """A run whose overfit check is stored already, since making it takes longest."""
    run = create_run(config, path=folder / "run")
    copied = OverfitCheck(8, 8, [[0, 3.0], [9, 0.001]], 0.001, 9, 0.1)
    add_evidence(run.path, "twin", copied.to_dict())
    return run


def findings_of(fault: str, folder: Path, *, train: bool = False) -> list[Finding]:
    """Findings of the health check on a run with this fault."""
    run = run_of(config_with(fault), folder)
    if train:
        Trainer(run, lambda _: None).train()
    return check_run(run)


def said(findings: list[Finding]) -> list[str]:
    return [finding.sentence for finding in findings if finding.alarm]


# --- What each fault changes ---------------------------------------------------------------


def test_each_has_a_witness() -> None:
    assert {name: witness for name, (witness, _) in NAMED.items()} == WITNESS
    assert NAMED.keys() == set(OUTSIDE)
    assert {fault.name for fault in FAULTS.values() if fault.place != "model"} == set(OUTSIDE)


@pytest.mark.parametrize(
    ("fault", "read", "asked"),
    [
        ("", [1, 7, 8], [7, 8, 2]),
        ("targets-not-shifted", [7, 8, 2], [7, 8, 2]),
        ("targets-shifted-twice", [1, 7], [8, 2]),
        ("eos-never-taught", [1, 7, 8], [7, 8, 0]),
    ],
)
def test_what_is_read_and_asked_for(fault: str, read: list[int], asked: list[int]) -> None:
    model = made()[1].model
    batch = collate([([5, 6], [7, 8])], model, practice_of(fault))
    assert batch.target_in.tolist() == [read]
    assert batch.target_out.tolist() == [asked]


def test_the_loss_of_probabilities_has_a_floor_with_a_name() -> None:
    sure = 50.0 * torch.eye(9)[None]
    asked = torch.arange(9)[None]
    least = training_loss(sure, asked, -1, practice_of("softmax-before-cross-entropy"))
    assert least.item() == pytest.approx(math.log(1 + 8 / math.e), abs=1e-4)


def test_padding_counts_only_where_it_is_planted() -> None:
    logits = torch.zeros(1, 2, 9)
    logits[0, 0, 3] = 40.0
    asked = torch.tensor([[3, 0]])
    right, wrong = (
        training_loss(logits, asked, 0, practice_of(fault)).item()
        for fault in ("", "padding-in-loss")
    )
    assert right == pytest.approx(0.0, abs=1e-6)
    assert wrong == pytest.approx(math.log(9) / 2, rel=1e-4)


def test_the_optimizer_and_its_rate() -> None:
    model = Transformer(made()[1].model)
    without = optimizer_of(model, TrainingConfig(fault="parameters-not-optimized"))
    given = {id(one) for one in without.parameters}  # type: ignore[attr-defined]
    kept = [name for name, one in model.named_parameters() if id(one) not in given]
    assert kept
    assert all(name.startswith("encoder.") for name in kept)
    plain = TrainingConfig(warmup_steps=10, steps=100)
    high, sudden = (plain.replace(fault=f"{f}") for f in ("learning-rate-too-high", "no-warmup"))
    assert learning_rate(50, high) == pytest.approx(10 * learning_rate(50, plain))
    assert learning_rate(1, sudden) == plain.learning_rate > learning_rate(1, plain)


@pytest.mark.parametrize("fault", ["wrong-start-token", "decoding-position-zero"])
def test_a_fault_of_decoding_leaves_teacher_forcing_alone(fault: str) -> None:
    """The logits stay equal, and the health check, finding no leak, blames decoding."""
    checkpoint = Checkpoint.load(BUNDLED)
    task = build_task(checkpoint.header.data, None)
    batch = collate(encode(task, task.held_out(6)), checkpoint.config)
    faulty = checkpoint.view().model
    plant(faulty, fault)
    with torch.no_grad():
        logits = faulty(batch.source, batch.target_in)
        assert torch.equal(logits, checkpoint.model(batch.source, batch.target_in))
        assert isinstance(step_decoder(faulty, batch.source), ModelSteps)
    for model, alarm in ((faulty, True), (checkpoint.model, False)):
        written = [list(one.tokens) for one in decode(model, batch.source)]
        pad_id = checkpoint.config.pad_id
        found = check_generation(logits, batch.target_out, written, pad_id, leaks=False)
        assert found.alarm is alarm
        assert found.sentence.startswith(NAMED[fault][1]) is alarm


# --- Named by the health check --------------------------------------------------------------


@pytest.mark.parametrize("fault", AT_ONCE)
def test_what_is_wrong_from_the_start_is_named_before_the_first_update(
    fault: str, tmp_path: Path
) -> None:
    alarms = said(findings_of(fault, tmp_path))
    assert any(NAMED[fault][1] in sentence for sentence in alarms)
    others = {words for name, (_, words) in NAMED.items() if name != fault}
    assert not [one for one in alarms if any(other in one for other in others)]


def test_parameters_that_never_move_are_named(tmp_path: Path) -> None:
    alarms = said(findings_of("parameters-not-optimized", tmp_path, train=True))
    assert any(NAMED["parameters-not-optimized"][1] in sentence for sentence in alarms)


def test_a_healthy_run_raises_none_of_them(tmp_path: Path) -> None:
    alarms = said(findings_of("", tmp_path, train=True))
    assert not [one for one in alarms if any(words in one for _, words in NAMED.values())]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_right_loss_passes(smoothing: float) -> None:
    def loss(logits: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        return training_loss(logits, asked, 0, smoothing=smoothing)

    assert not check_loss(loss, 30, 0).alarm


# --- Runs and checkpoints ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    ["shared-layers", *(pytest.param(f, marks=pytest.mark.long) for f in PLANTED_AGAIN)],
)
def test_a_checkpoint_plants_its_fault_again(fault: str, tmp_path: Path) -> None:
    """Also covers layers that share weights: the file stores each under its own name."""
    config = made(preset="small", fault=fault, steps=4)[1]
    run = run_of(config, tmp_path)
    Trainer(run, lambda _: None).train()
    assert run.status().state == "finished", run.log_tail()
    loaded = Checkpoint.load(run.checkpoints()[-1])
    assert loaded.header.fault == fault
    assert (type(loaded.model) is Transformer) is (FAULTS[fault].place == "batches")
    again = Transformer(config.model)
    plant_of_run(again, fault)
    assert {type(a).__name__ for a in again.modules()} == {
        type(a).__name__ for a in loaded.model.modules()
    }
    if fault == "shared-layers":
        first, second = (loaded.model.encoder.layers[i] for i in range(2))
        assert torch.equal(next(first.parameters()), next(second.parameters()))


def test_a_fault_that_the_model_cannot_have_ends_the_run_in_a_sentence(tmp_path: Path) -> None:
    run = run_of(made(fault="no-eval-mode")[1], tmp_path)
    Trainer(run, lambda _: None).train()
    assert run.status().state == "failed"
    assert "cannot have the fault 'no-eval-mode'" in run.status().reason


def test_names_are_hidden_and_found_again() -> None:
    for name in NAMES:
        hidden = hide(name, "ab12")
        assert name not in hidden
        assert is_hidden(hidden)
        assert reveal(hidden) == name
    for wrong in ("softmax", "hidden-ab12-000000000000", "hidden-"):
        with pytest.raises(ConfigError, match="There is no fault"):
            TrainingConfig(fault=wrong)


def test_a_healthy_run_does_not_speak_of_faults() -> None:
    """Settings without a fault are written as before the setting existed."""
    assert "fault" not in TrainingConfig().to_dict()
    assert TrainingConfig.from_dict(TrainingConfig().to_dict()) == TrainingConfig()
    assert TrainingConfig(fault="no-warmup").to_dict()["fault"] == "no-warmup"


def test_a_forged_fault_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(BUNDLED)
    assert checkpoint.summary is not None
    checkpoint.summary.training["fault"] = "rm -rf"
    content = checkpoint.to_bytes()
    with pytest.raises(CheckpointError, match="There is no fault 'rm -rf'"):
        Checkpoint.load(content)

"""The health check names faults in trained runs, and raises no alarm about healthy ones."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transformer import model
from transformer.__main__ import main
from transformer.decoding.steps import pad
from transformer.health import (
    Curve,
    Finding,
    check_attention,
    check_curve,
    check_first_loss,
    check_generation,
    check_gradients,
    check_model,
    check_run,
    check_targets,
)
from transformer.model import Transformer
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.runs.goals import OverfitCheck, add_evidence
from transformer.runs.health import read_health
from transformer.tasks import find_task
from transformer.tasks.presets import defaults, prepare
from transformer.trainer.trainer import Trainer
from transformer.training import batches, optimizer
from transformer.training.batches import Batch, collate
from transformer.training.loop import cross_entropy, evaluate_loss

SMALL = {"d_model": 32, "d_ff": 64, "num_heads": 2, "max_length": 16}
SHORT = {
    "batch_size": 32,
    "steps": 100,
    "warmup_steps": 20,
    "eval_every": 50,
    "eval_examples": 32,
    "final_examples": 32,
    "threads": 1,
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "decay_fraction": 0.4,
}


LEARNS = OverfitCheck(8, 8, [[0, 4.5], [40, 0.009]], 0.009, 40, 1.2)


def trained(folder: Path, seed: int = 1, check: OverfitCheck | None = None, **changes: Any) -> Run:
    """A run on words of up to four letters, trained in this process with its patched code.

    check: an overfit check to store; without one the trainer makes it, which takes seconds.
    """
    _, config = prepare(
        "reverse",
        "tiny",
        data={"max_letters": 4},
        model=SMALL,
        training=SHORT | {"seed": seed} | changes,
    )
    run = create_run(config, path=folder / f"run-{seed}")
    if check is not None:
        add_evidence(run.path, "twin", check.to_dict())
    Trainer(run, lambda _: None).train()
    return run


def alarms(findings: list[Finding]) -> list[str]:
    return [finding.sentence for finding in findings if finding.alarm]


def put_everywhere(
    monkeypatch: pytest.MonkeyPatch, original: Callable[..., Any], fault: Callable[..., Any]
) -> None:
    """Replace a function in every module of our library that imported it."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "transformer" and vars(module).get(original.__name__) is original:
            monkeypatch.setattr(module, original.__name__, fault)


# --- The four faults ---------------------------------------------------------------------


def targets_not_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*arguments: Any) -> Batch:
        batch = collate(*arguments)
        return batch._replace(target_in=batch.target_out)

    put_everywhere(monkeypatch, batches.collate, fault)


def causal_mask_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(queries: int, keys: int, device: torch.device | None = None) -> Tensor:
        return torch.ones(queries, keys, dtype=torch.bool, device=device)

    put_everywhere(monkeypatch, model.causal_mask, fault)


def softmax_over_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(scores: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=-2)

    put_everywhere(monkeypatch, model.attention_weights, fault)


def rate_100_times_too_high(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = optimizer.learning_rate
    put_everywhere(monkeypatch, rate, lambda *arguments: 100 * rate(*arguments))


FAULTS = {
    "targets not shifted": (
        targets_not_shifted,
        "The decoder can see the token it has to predict: the targets are not shifted right",
    ),
    "causal mask missing": (causal_mask_missing, "The causal mask is missing"),
    "softmax over the wrong axis": (softmax_over_queries, "Softmax over the wrong axis"),
    "learning rate 100 times too high": (rate_100_times_too_high, "The learning rate is too high"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_training_is_named(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inject, cause = FAULTS[fault]
    inject(monkeypatch)
    findings = check_run(trained(tmp_path, check=LEARNS))
    problems = [finding.sentence for finding in findings if finding.state == "problem"]
    assert any(cause in sentence for sentence in problems)
    # Other alarms are allowed, but none names another cause.
    others = {other for _, other in FAULTS.values()} - {cause}
    assert not [s for s in alarms(findings) if any(other in s for other in others)]


def test_a_run_trained_before_the_code_was_mended_is_told_apart(tmp_path: Path) -> None:
    """The weights were trained with the fault; the check runs without it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        targets_not_shifted(monkeypatch)
        run = trained(tmp_path, check=LEARNS)
    problems = alarms(check_run(run))
    assert any("trained by other code" in sentence for sentence in problems)


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(s, marks=pytest.mark.long) for s in range(2, 21))]
)
def test_a_healthy_run_raises_no_alarm(seed: int, tmp_path: Path) -> None:
    assert alarms(check_run(trained(tmp_path, seed))) == []


def test_the_command_line_tells_findings_and_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path, check=LEARNS, steps=2)
    assert main(["health", str(run.path), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["ok"]
    assert {finding["state"] for finding in found["findings"]} == {"ok", "waiting"}
    assert "Letting the model write" in said.err
    # The findings are stored with the run, where the verdict reads them.
    kept = read_health(run.path)
    assert kept is not None
    assert (kept.step, list(kept.findings)) == (2, found["findings"])


def test_a_damaged_checkpoint_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path, check=LEARNS, steps=1)
    *_, checkpoint = run.checkpoints()
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    checkpoint.write_bytes(content)
    assert main(["health", str(run.path)]) == 1
    assert capsys.readouterr().out.startswith("problem Checkpoint: ")


def test_a_directory_that_is_no_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.startswith("error: There is no run nowhere")


def test_a_run_that_has_saved_nothing_yet_is_checked_as_it_began(tmp_path: Path) -> None:
    _, config = prepare("reverse", "tiny", model=SMALL, data={"max_letters": 4})
    findings = check_run(create_run(config, path=tmp_path / "run"))
    assert alarms(findings) == []
    assert "waiting" in {finding.state for finding in findings}


# --- An implementation that is not ours --------------------------------------------------

PAD, START, SIZE = 0, 1, 20


class Foreign(nn.Module):
    """A model around PyTorch's own Transformer, with a fault if given."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        torch.manual_seed(3)
        self.source, self.target = nn.Embedding(SIZE, 32), nn.Embedding(SIZE, 32)
        self.positions = nn.Embedding(30, 32)
        self.body = nn.Transformer(32, 4, 2, 2, 64, dropout=0.0, batch_first=True)
        self.output = nn.Linear(32, SIZE)
        self.unused = nn.Linear(4, 4) if fault == "unused part" else None

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        length = target.size(1)
        look_ahead = {"no causal mask": length, "off by one": 1}.get(self.fault, 0)
        hidden = torch.ones(length, length).triu(1 + look_ahead).bool()
        padding = None if self.fault == "no padding mask" else source == PAD
        x = self.source(source)
        if self.fault != "no positions":
            x = x + self.positions(torch.arange(source.size(1)))
        if self.fault == "source not read":
            x, padding = torch.zeros_like(x), None
        if self.fault == "batch mixed":
            x = x + 0.1 * x.mean(dim=0, keepdim=True)
        y = self.target(target) + self.positions(torch.arange(length))
        if self.fault == "not finite":
            y = y * torch.inf
        y = self.body(
            x, y, tgt_mask=hidden, src_key_padding_mask=padding, memory_key_padding_mask=padding
        )
        return self.output(y)


def foreign_batch() -> tuple[Tensor, Tensor, Tensor]:
    """Sources, decoder inputs and targets of four sentences, three of them padded."""
    random = torch.Generator().manual_seed(5)
    rows = [torch.randint(4, SIZE, (n,), generator=random).tolist() for n in (7, 3, 5, 2)]
    source, out = (pad([[*row, 2] for row in rows], PAD) for _ in range(2))
    return source, pad([[START, *row] for row in rows], PAD), out


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("no causal mask", "The causal mask is missing"),
        ("off by one", "The causal mask is off by one"),
        ("no padding mask", "The padding mask of the source is missing"),
        ("source not read", "The decoder does not read the source"),
        ("no positions", "The encoder does not know positions"),
        ("batch mixed", "The sentences of a batch influence each other"),
        ("not finite", "The logits are not finite"),
    ],
)
def test_a_fault_in_any_implementation_is_named(fault: str, named: str) -> None:
    source, target_in, _ = foreign_batch()
    assert alarms(check_model(Foreign(), source, target_in, PAD)) == []
    problems = alarms(check_model(Foreign(fault), source, target_in, PAD))
    assert any(sentence.startswith(named) for sentence in problems)


def test_a_right_implementation_passes_the_checks_of_batch_gradient_and_generation() -> None:
    source, target_in, target_out = foreign_batch()
    foreign = Foreign()
    assert check_targets(target_in, target_out, PAD).state == "ok"
    logits = foreign(source, target_in)
    assert check_gradients(foreign, cross_entropy(logits, target_out, PAD)).state == "ok"
    written = target_in[:, :1]
    for _ in range(target_out.size(1)):
        written = torch.cat([written, foreign(source, written)[:, -1:].argmax(-1)], dim=1)
    found = check_generation(logits, target_out, written[:, 1:].tolist(), PAD)
    assert found.state == "ok"


def test_a_part_that_no_gradient_reaches_is_named() -> None:
    source, target_in, target_out = foreign_batch()
    foreign = Foreign("unused part")
    loss = cross_entropy(foreign(source, target_in), target_out, PAD)
    found = check_gradients(foreign, loss)
    assert found.state == "problem"
    assert "unused.weight" in found.sentence
    assert all(parameter.grad is None for parameter in foreign.parameters())


def test_targets_that_are_neither_the_input_nor_shifted_are_named() -> None:
    _, target_in, target_out = foreign_batch()
    assert "not shifted right" in check_targets(target_out, target_out, PAD).sentence
    found = check_targets(target_in.flip(0), target_out, PAD)
    assert "not the target shifted right by one" in found.sentence


@pytest.mark.parametrize(
    ("axis", "named"), [(0, "sentences"), (1, "heads"), (2, "queries"), (None, "not a softmax")]
)
def test_the_axis_of_a_wrong_softmax_is_named(axis: int | None, named: str) -> None:
    scores = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(1))
    weights = scores.sigmoid() if axis is None else scores.softmax(dim=axis)
    softmax, _ = check_attention({"mine": weights})
    assert softmax.state == "problem"
    assert named in softmax.sentence
    assert check_attention({"mine": scores.softmax(dim=-1)})[0].state == "ok"


def test_weight_on_a_masked_key_is_named_unless_there_is_nothing_else_to_look_at() -> None:
    weights = torch.full((1, 1, 2, 2), 0.5)
    causal = torch.ones(2, 2, dtype=torch.bool).tril()
    assert check_attention({"mine": weights}, {"mine": causal})[1].state == "problem"
    nothing = torch.zeros(2, 2, dtype=torch.bool)
    assert check_attention({"mine": weights}, {"mine": nothing})[1].state == "ok"


def test_decoding_that_differs_from_the_model_is_named_in_either_direction() -> None:
    """Forty answers of one token and <eos>; logits and decoding are each right or wrong."""
    target = torch.tensor([[5, 2]] * 40)
    right, wrong = F.one_hot(target, SIZE).float(), F.one_hot(target + 1, SIZE).float()
    as_asked, otherwise = [[5, 2]] * 40, [[6, 3]] * 40
    assert check_generation(right, target, as_asked, PAD).state == "ok"
    assert check_generation(wrong, target, otherwise, PAD).state == "ok"
    assert "sees what it has" in check_generation(right, target, otherwise, PAD).sentence
    assert "Decoding differs" in check_generation(wrong, target, as_asked, PAD).sentence


# --- The first loss, and the curve -------------------------------------------------------

ARCHITECTURES: list[dict[str, Any]] = [
    {},
    {"d_model": 16, "num_heads": 2},
    {"d_model": 256},
    {"norm_first": False, "final_norm": False},
    {"norm_first": True, "final_norm": False},
    {"num_encoder_layers": 6, "num_decoder_layers": 6, "final_norm": False},
    {"tie_embeddings": False},
    {"scale_embeddings": False},
    {"share_embeddings": True},
]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_the_first_loss_is_judged_by_what_the_architecture_makes_of_it(
    architecture: dict[str, Any],
) -> None:
    task, config = prepare("reverse", "small", model=architecture)
    torch.manual_seed(1)
    untrained = Transformer(config.model)
    pairs = task.held_out(50)
    loss = evaluate_loss(untrained, task, pairs, 0).loss
    assert check_first_loss(loss, config.model).state == "ok"
    with torch.no_grad():
        untrained.output.weight.mul_(30)
    loud = evaluate_loss(untrained, task, pairs, 0).loss
    assert "initial weights are too large" in check_first_loss(loud, config.model).sentence
    assert "can see the token" in check_first_loss(0.4, config.model).sentence


def curve_of(losses: list[float], evaluated: tuple[float, ...] = ()) -> list[Finding]:
    """Findings on a training loss of every tenth update, and on evaluations starting at 4.5."""
    _, config = prepare("reverse", "tiny")
    train = [(10 * i, loss, 2e-3) for i, loss in enumerate(losses, start=1)]
    evaluations = [(100 * i, loss) for i, loss in enumerate((4.5, *evaluated))]
    return check_curve(Curve(train, evaluations, 3.2, 2.9), config, "running")


FALLING = [4.5 * 0.95**i for i in range(100)]


def test_a_falling_loss_is_no_alarm_at_any_moment() -> None:
    # As when batches hold short or long pairs.
    scattered = [loss * (0.4 if i % 3 else 1.4) for i, loss in enumerate(FALLING)]
    for length in range(len(FALLING)):
        assert alarms(curve_of(FALLING[:length])) == []
        assert alarms(curve_of(scattered[:length])) == []


def test_a_curve_that_rises_or_jumps_is_named() -> None:
    assert "is rising" in alarms(curve_of([*FALLING, *[2.5] * 20], (1.0, 0.5, 2.6)))[0]
    jumping = [4.0 if i in (70, 80, 90) else loss for i, loss in enumerate(FALLING)]
    assert "is spiky" in alarms(curve_of(jumping))[0]
    assert "first updates are too large" in alarms(curve_of([9.0, 8.0, *FALLING]))[0]
    assert "worse than untrained" in alarms(curve_of([5.0] * 100))[0]
    assert "guessing by frequency" in alarms(curve_of([3.1] * 120))[0]


def test_a_rate_far_too_high_and_no_warm_up_are_named_where_some_is_learned() -> None:
    after = {"norm_first": False, "final_norm": False}
    _, config = prepare("reverse", "tiny", model=after, training={"warmup_steps": 100})
    usual = (config.model.d_model * 4000) ** -0.5

    def alarm(loss: float, rate: float, *, warm: bool) -> list[str]:
        rates = [min(1.0, i / 20) if warm else 1.0 for i in range(1, 61)]
        train = [(10 * i, loss, rate * share) for i, share in enumerate(rates, start=1)]
        curve = Curve(train, [(0, 4.5)], 3.2, 2.9)
        return alarms(check_curve(curve, config, "running"))

    assert "too high: the model has learned" in alarm(2.1, 10.2 * usual, warm=True)[0]
    assert not alarm(2.1, 5 * usual, warm=True)
    assert not alarm(1.6, 10.2 * usual, warm=True)
    assert "There is no warm-up" in alarm(0.4, 3 * usual, warm=False)[0]
    assert not alarm(0.1, 3 * usual, warm=False)
    assert not alarm(0.4, 1.5 * usual, warm=False)


@pytest.mark.parametrize("changed", [{}, {"optimizer": "adam"}], ids=str)
def test_the_rate_to_aim_at_is_the_presets_unless_the_optimizer_is_another(
    changed: dict[str, Any],
) -> None:
    task = find_task("reverse")
    own = defaults("reverse", task.default_preset)
    assert own["optimizer"] == "muon"
    _, config = prepare("reverse", task.default_preset, training=changed)
    rate = 20 * own["learning_rate"]
    curve = Curve([(10 * i, 5.0, rate) for i in range(1, 101)], [(0, 4.5)], 3.2, 2.9)
    [falls] = [f for f in check_curve(curve, config, "running") if f.name == "The loss falls"]
    papers = (config.model.d_model * 4000) ** -0.5
    aim = papers if changed else own["learning_rate"]
    assert aim != papers or changed
    assert f"Lower it to about {aim:.1g} and" in falls.advice
    assert ("the preset's, 20 times less" in falls.advice) == (not changed)


def test_memorised_pairs_are_told_from_a_rate_too_high() -> None:
    [sentence] = alarms(curve_of(FALLING, (2.0, 1.2, 2.6)))
    assert "memorises its pairs (overfitting)" in sentence
    assert "1.2 at step 200 to 2.6" in sentence


def test_a_loss_that_is_no_number_ends_in_the_learning_rate(tmp_path: Path) -> None:
    """The updates are so large that the weights overflow."""
    far: dict[str, Any] = {
        "learning_rate": 10.0,
        "gradient_clip": 1e6,
        "warmup_steps": 0,
        "adam_eps": 1e-30,
    }
    run = trained(tmp_path, check=LEARNS, **far)
    findings = check_run(run)
    assert any("The learning rate is too high" in sentence for sentence in alarms(findings))

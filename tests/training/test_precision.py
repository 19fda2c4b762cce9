"""Training in bfloat16: chosen where faster, learns as well, and resumes bit for bit."""

import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.small_training import fresh, made, packed_sides, same, weights
from transformer.config import RunConfig
from transformer.dropout import Dropout
from transformer.model import LayerNorm
from transformer.tasks.presets import prepare
from transformer.trainer.state import Position, read_state, write_state
from transformer.training import compute, precision
from transformer.training.batches import Batch, training_batches
from transformer.training.compute import Compute
from transformer.training.fast_model import FastModel, Forward
from transformer.training.loop import Begin, Loss, Training, evaluate_loss, evaluate_outputs, train

CPU = torch.device("cpu")
NATIVE = precision.has_bf16(CPU)
on_an_older_processor = pytest.mark.skipif(NATIVE, reason="this processor has bfloat16")


# --- The trial ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fp32", "bf16", "loss", "chosen"),
    [
        ([2.0, 2.0, 9.0], [1.0, 1.0, 9.0], 4.04, "bf16"),
        ([1.2, 1.2, 1.2], [1.0, 1.0, 1.0], 4.0, "bf16"),
        ([1.19, 1.19, 1.19], [1.0, 1.0, 1.0], 4.0, "fp32"),
        ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], 4.09, "fp32"),
        ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], float("nan"), "fp32"),
    ],
)
def test_the_choice_follows_times_and_losses(
    fp32: list[float], bf16: list[float], loss: float, chosen: str
) -> None:
    assert precision.choose("cpu", fp32, bf16, 4.0, loss).precision == chosen


def on_trial() -> tuple[Training, list[Batch]]:
    task, config = made(model={"dropout": 0.1})
    shares = islice(training_batches(task, config.model, config.training), 2)
    batches = [share.batch for share in shares]
    return Training(fresh(config), task, config.training), batches


def test_a_trial_leaves_no_trace() -> None:
    training, batches = on_trial()
    before, rng = weights(training.model), torch.get_rng_state()
    found = precision.measure(training.fast_model, batches, training.loss, CPU)
    assert min(found.fp32_seconds, found.bf16_seconds) > 0
    assert same(before, weights(training.model))
    assert torch.get_rng_state().equal(rng)
    assert all(parameter.grad is None for parameter in training.model.parameters())


def test_a_trial_without_time_measures_once() -> None:
    training, batches = on_trial()
    tried: list[str] = []

    def loss_of(model: Forward, batch: Batch, kind: str) -> Tensor:
        tried.append(kind)
        return training.loss(model, batch, kind)

    precision.measure(training.fast_model, batches, loss_of, CPU, seconds=0)
    assert tried == ["fp32", "bf16"] * 3  # two batches to warm up, then one that counts


def test_a_trial_ends_once_bfloat16_was_slower_twice() -> None:
    training, batches = on_trial()
    tried: list[str] = []

    def loss_of(model: Forward, batch: Batch, kind: str) -> Tensor:
        tried.append(kind)
        time.sleep(0.1 * (kind == "bf16"))
        return training.loss(model, batch, kind)

    found = precision.measure(training.fast_model, batches, loss_of, CPU, seconds=60)
    assert tried == ["fp32", "bf16"] * 4  # two batches to warm up, then two that count
    assert found.precision == "fp32"


def test_a_trial_that_fails_ends_in_float32() -> None:
    training, batches = on_trial()

    def loss_of(model: Forward, batch: Batch, kind: str) -> Tensor:
        if kind == "bf16":
            raise torch.OutOfMemoryError
        return training.loss(model, batch, kind)

    assert precision.measure(training.fast_model, batches, loss_of, CPU).precision == "fp32"


def never(model: Forward, batch: Batch, kind: str) -> Tensor:
    raise AssertionError("nothing is to be tried")


@on_an_older_processor
def test_where_bfloat16_is_imitated_nothing_is_tried() -> None:
    training, batches = on_trial()
    found = precision.decide("auto", training.fast_model, batches, never, CPU)
    assert (found.precision, found.bf16_seconds) == ("fp32", 0)
    assert "no bfloat16" in found.sentence


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_what_is_asked_for_is_not_tried(wanted: str) -> None:
    training, batches = on_trial()
    found = precision.decide(wanted, training.fast_model, batches, never, CPU)
    assert found.precision == wanted
    assert "as its settings ask" in found.sentence
    assert ("only imitates" in found.sentence) == (wanted == "bf16" and not NATIVE)


# --- What is in bfloat16, and what is not -------------------------------------------------


def test_weights_gradients_adam_norms_and_evaluation_are_float32() -> None:
    task, config = made(precision="bf16", model={"dropout": 0.1})
    model = fresh(config)
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    norms: set[torch.dtype] = set()

    def logits(module: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        seen[module.training].add(out.dtype)

    def norm(module: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        norms.update((args[0].dtype, out.dtype))

    model.logits.register_forward_hook(logits)
    for module in model.modules():
        if isinstance(module, LayerNorm):
            module.register_forward_hook(norm)
    training = Training(model, task, config.training)
    pairs = task.held_out(config.training.eval_examples)
    for event in training.events():
        if isinstance(event, Loss) and event.step:
            unmarked = fresh(config)
            unmarked.load_state_dict(model.state_dict())
            found = evaluate_loss(unmarked, task, pairs, event.step)
            assert found.loss == pytest.approx(event.loss, abs=1e-5)
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert norms == {torch.float32}
    kept = [*model.parameters(), *training.state().values()]
    kept += [p.grad for p in model.parameters() if p.grad is not None]
    assert {tensor.dtype for tensor in kept} == {torch.float32, torch.uint8}  # the random state


def test_the_training_form_computes_in_bfloat16_what_the_model_does() -> None:
    task, config = made(model={"dropout": 0.0})
    model = fresh(config)
    share = next(training_batches(task, config.model, config.training))
    exact = model(*share.batch[:2])
    seen = []
    for called in (model, FastModel(model)):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = called(*share.batch[:2])
        torch.testing.assert_close(logits.float(), exact, rtol=0, atol=0.1)
        logits.float().sum().backward()
        gradients = [one.grad.dtype for one in model.parameters() if one.grad is not None]
        seen.append([logits.dtype, *gradients])
    assert seen[0] == seen[1]
    assert seen[0][0] == torch.bfloat16
    assert set(seen[0][1:]) == {torch.float32}


def test_dropout_scales_by_float32_beside_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16, 1 / 0.9 would be 1.1094."""
    factors: list[Tensor] = []
    real = Dropout.kept

    def kept(self: Dropout, x: Tensor) -> Tensor | None:
        found = real(self, x)
        assert found is not None
        factors.append(found)
        return found

    monkeypatch.setattr(Dropout, "kept", kept)
    task, config = made(model={"dropout": 0.1})
    share = next(training_batches(task, config.model, config.training))
    with torch.autocast("cpu", torch.bfloat16):
        FastModel(fresh(config)).train()(*share.batch[:2])
    assert factors
    assert {one.dtype for one in factors} == {torch.float32}
    assert max(one.max().item() for one in factors) == pytest.approx(1 / 0.9, rel=1e-4)


def test_a_softmax_in_bfloat16_is_that_in_float32_rounded() -> None:
    """The model's softmax relies on this where a processor hands it bfloat16 scores."""
    scores = 20 * torch.randn(50, 70, generator=torch.Generator().manual_seed(1))
    scores = scores.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.softmax(scores, dim=-1)
    assert found.bfloat16().equal(torch.softmax(scores.float(), dim=-1).bfloat16())


# --- Resuming -----------------------------------------------------------------------------


@pytest.mark.parametrize("bucketing", [True, False])
def test_bf16_goes_on_bit_for_bit(bucketing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = packed_sides(monkeypatch)
    task, config = made(precision="bf16", bucketing=bucketing, model={"dropout": 0.1})
    whole = Training(fresh(config), task, config.training)
    list(whole.events())
    assert bool(packed) != bucketing
    half = Training(fresh(config), task, config.training)
    for _ in islice((e for e in half.events() if e.step == 3), 1):
        pass
    state = half.state()  # before a fresh model seeds the generator again
    rest = Training(fresh(config), task, config.training)
    rest.model.load_state_dict(half.model.state_dict())
    rest.restore(half.step, half.tokens, state, half.precision)
    assert not any(isinstance(event, Begin) for event in rest.events())
    assert same(weights(whole.model), weights(rest.model))
    other = Training(fresh(config), task, config.training.replace(precision="fp32"))
    list(other.events())
    assert not same(weights(whole.model), weights(other.model))


def test_files_from_before_there_was_a_choice_mean_float32(tmp_path: Path) -> None:
    _, config = made(precision="auto")
    old = config.to_dict()
    for name in ("precision", "device"):
        del old["training"][name]
    assert RunConfig.from_dict(old) == config
    path = tmp_path / "state.safetensors"
    content = write_state(Position(seconds=1.0), {})
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    position = json.loads(header["__metadata__"]["position"])
    del position["precision"]
    header["__metadata__"]["position"] = json.dumps(position)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    assert read_state(path)[0] == Position(seconds=1.0, precision="fp32")


# --- The record ---------------------------------------------------------------------------

SOUND = Compute("cpu", "bf16", "2.1 times as fast as float32 in a trial at the start", 0.1, 0.05)


def test_a_record_is_read_as_it_was_written_and_said_in_words(tmp_path: Path) -> None:
    compute.write(tmp_path, SOUND)
    assert compute.read(tmp_path) == SOUND
    assert SOUND.sentence == (
        "On the processor, in bfloat16: 2.1 times as fast as float32 in a trial at the start "
        "(a batch took 50 ms in bfloat16, 100 ms in float32)."
    )


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "fp8"},
        {"precision": []},
        {"device": {"a": 1}},
        {"why": None},
        {"fp32_seconds": "2"},
        {"fp32_seconds": True},
        {"fp32_seconds": float("nan")},
        {"bf16_seconds": -1.0},
        {"bf16_seconds": 10**400},
        {"more": 1},
    ],
)
def test_a_record_that_is_not_sound_says_nothing(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / compute.FILE).write_text(json.dumps(vars(SOUND) | change))
    assert compute.read(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xfb", b"[" * 100_000, b"9" * 10_000])
def test_a_record_that_is_no_record_says_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / compute.FILE).write_bytes(content)
    assert compute.read(tmp_path) is None


# --- How well it learns -------------------------------------------------------------------


@pytest.mark.long
def test_bf16_learns_as_well_as_fp32() -> None:
    """Exact match on held-out pairs is at most 0.2 percentage points lower."""
    exact = {}
    for kind in ("fp32", "bf16"):
        settings = {"threads": 1, "steps": 1000, "batch_size": 64, "precision": kind}
        task, config = prepare("reverse", data={"max_letters": 5}, training=settings)
        model = fresh(config)
        for _ in train(model, task, config.training):
            pass
        exact[kind] = evaluate_outputs(model, task, task.held_out(5000), 0).exact_match
    print(exact)
    assert exact["fp32"] > 0.99
    assert exact["bf16"] >= exact["fp32"] - 0.002

"""A graphics card computes what the processor does. Without a card, all tests are skipped."""

import json
import random
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.decoding.test_engines import LAYOUTS
from tests.support.checkpoint_files import wild_model
from tests.support.places import bundled_file
from tests.support.small_training import fresh, made, same, weights
from tests.support.trainers import ended, no_trainer_left, spawn, tiny
from transformer.__main__ import main
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.placement import on_card as card_twin
from transformer.checkpoint.verification import verify
from transformer.config import SamplingConfig
from transformer.decoding.beam import Beam
from transformer.decoding.many import decode_all
from transformer.decoding.steps import Hypothesis, Strategy
from transformer.decoding.strategies import Greedy, Sampling, by_beam_size, decode
from transformer.hooks import ablate, record
from transformer.model import Transformer
from transformer.runs import snapshots
from transformer.runs.creation import create_run
from transformer.runs.directory import Run
from transformer.training import compute
from transformer.training.batches import Batch
from transformer.training.distributed import World
from transformer.training.loop import Begin, Loss, Training, Update

CARD = torch.device("cuda")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no graphics card")


def twins(layout: str, **changes: Any) -> tuple[Transformer, Transformer]:
    """A random model in float64 on the processor, and the same one on the card."""
    changes = LAYOUTS[layout] | {"max_length": 40} | changes
    return wild_model(3, **changes).double(), wild_model(3, **changes).double().to(CARD)


def ids(rows: int, length: int) -> Tensor:
    """Token ids, the same at every call; the second row is padded."""
    found = torch.randint(4, 9, (rows, length), generator=torch.Generator().manual_seed(5))
    found[1:2, length // 2 :] = 0
    return found


# --- The model, and looking inside --------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_and_gradients_are_the_same(layout: str) -> None:
    here, there = twins(layout)
    batch = Batch(ids(3, 7), ids(3, 5), ids(3, 5))
    found = []
    for model, fed in ((here, batch), (there, batch.to(CARD))):
        logits = model(fed.source, fed.target_in)
        F.cross_entropy(logits.flatten(0, 1), fed.target_out.flatten(), ignore_index=0).backward()
        found.append(logits.detach().cpu())
    assert torch.allclose(found[0], found[1], rtol=0, atol=1e-10)
    for (name, ours), theirs in zip(here.named_parameters(), there.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad.cpu(), rtol=0, atol=1e-10), name


@torch.inference_mode()
def test_what_is_recorded_and_switched_off_is_the_same() -> None:
    here, there = twins("paper")
    source, target = ids(3, 7), ids(3, 5)
    head = "decoder.layers.0.cross_attention.head_outputs"
    found = []
    for model in (here, there):
        device = next(model.parameters()).device
        with record(model) as trace:
            model(source.to(device), target.to(device))
        with ablate(model, head, [1]):
            found.append((trace, model(source.to(device), target.to(device))))
    (ours, without), (theirs, there_without) = found
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.allclose(value, theirs[name].cpu(), rtol=0, atol=1e-10), name
    assert torch.allclose(without, there_without.cpu(), rtol=0, atol=1e-10)


# --- Decoding -----------------------------------------------------------------------------


def alike(ours: Hypothesis, theirs: Hypothesis) -> bool:
    return ours.tokens == theirs.tokens and abs(ours.log_prob - theirs.log_prob) < 1e-9


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_search_writes_the_same(layout: str) -> None:
    here, there = twins(layout)
    strategies: list[Strategy] = [
        Greedy(),
        Sampling(SamplingConfig(temperature=0.9, top_k=5, top_p=0.9, seed=3)),
        Beam(3),
    ]
    for rows, strategy in product((1, 3), strategies):
        source = ids(rows, 7)
        ours, theirs = decode(here, source, strategy), decode(there, source.to(CARD), strategy)
        assert all(map(alike, ours, theirs)), (rows, strategy)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_many_inputs_are_written_the_same(beam_size: int) -> None:
    here, there = twins("pre-norm, gelu")
    draw = random.Random(2)
    rows = [[*draw.choices(range(4, 9), k=draw.randint(1, 9)), 2] for _ in range(40)]
    found = []
    for model in (here, there):
        found.append(decode_all(model, rows, by_beam_size(beam_size, 0.6, max_length=12)))
    assert all(map(alike, *found))


def test_a_checkpoint_is_scored_on_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    path = bundled_file("reverse")
    found = []
    for device in ("auto", "cpu"):
        assert main(["evaluate", str(path), "--json", "--device", device]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [one["device"] for one in found] == ["cuda", "cpu"]
    assert found[0]["exact_match"] == found[1]["exact_match"] > 0.99
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=1e-4)
    checkpoint = Checkpoint.load(path)
    twin = card_twin(checkpoint)
    assert next(twin.model.parameters()).device.type == "cuda"
    assert next(checkpoint.model.parameters()).device.type == "cpu"
    assert [answer.output for answer in twin.answers(["workbench"])] == ["hcnebkrow"]


# --- Training -----------------------------------------------------------------------------


def on_card(**changes: Any) -> Training:
    """A training of 30 steps on the card, in which most batch shapes recur."""
    task, config = made(steps=30, eval_every=10, batch_size=8, **changes)
    return Training(fresh(config).to(CARD), task, config.training, World(device=CARD))


def graphs(training: Training) -> int:
    assert training._graphed is not None
    return sum(found is not None for found in training._graphed._seen.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_goes_on_bit_for_bit(precision: str) -> None:
    """Includes dropout, and steps that one run replays from a graph and the other does not."""
    changes = {"precision": precision, "model": {"dropout": 0.1}}
    whole, half = on_card(**changes), on_card(**changes)
    torch.cuda.manual_seed(1)
    list(whole.events())
    assert graphs(whole) > 0
    torch.cuda.manual_seed(1)
    for _ in islice((event for event in half.events() if event.step == 17), 1):
        pass
    state = half.state()
    assert all(value.device.type == "cpu" for value in state.values())
    rest = on_card(**changes)
    rest.model.load_state_dict(half.model.state_dict())
    rest.restore(half.step, half.tokens, state, half.precision)
    assert not any(isinstance(event, Begin) for event in rest.events())
    assert graphs(rest) > 0
    assert same(weights(whole.model), weights(rest.model))


def test_what_is_replayed_learns_what_the_processor_does() -> None:
    training = on_card()
    task, config = made(steps=30, eval_every=10, batch_size=8)
    alone = Training(fresh(config), task, config.training)
    ours, its = (
        [event.loss for event in one.events() if isinstance(event, Update | Loss)]
        for one in (training, alone)
    )
    assert graphs(training) > 0
    assert len(ours) > 30
    assert ours == pytest.approx(its, rel=1e-3)


def test_what_cannot_be_recorded_runs_as_it_is() -> None:
    training = on_card()

    def waits(batch: Batch, scale: float | Tensor) -> Tensor:
        total = Training._backward(training, batch, scale)
        assert total.item() > 0  # waits for the card, which a graph cannot record
        return total

    assert training._graphed is not None
    training._graphed.backward = waits
    updates = [event for event in training.events() if isinstance(event, Update)]
    assert len(updates) == 30
    assert updates[-1].loss < updates[0].loss
    assert graphs(training) == 0


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Run]:
    """A run whose settings leave device and precision to the trainer."""
    with no_trainer_left(tmp_path):
        run = create_run(tiny(steps=30, device="auto", precision="auto"), root=tmp_path)
        process = spawn(run)
        ended(run, "finished")
        process.wait()
        yield run


def test_a_run_finds_the_card_and_its_checkpoint_works_without(finished: Run) -> None:
    run = finished
    found = compute.read(run.path)
    assert found is not None
    assert found.device == "cuda", found.sentence
    assert found.bf16_seconds > 0, found.sentence
    folder = run.path / "checkpoints"
    path = snapshots.weights_file(folder, snapshots.snapshots(folder)[-1].step)
    assert next(Checkpoint.load(path).model.parameters()).device.type == "cpu"
    assert all(check.ok for check in verify(path)), verify(path)

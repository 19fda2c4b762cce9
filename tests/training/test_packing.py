"""Packed batches: the model's outputs and gradients, without computing the padding."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support.pytorch_models import close, configs, randomise, seeds, sizes
from tests.support.random_models import SWITCHED
from tests.support.small_training import fresh, made, packed_sides
from transformer.config import TransformerConfig
from transformer.model import Transformer
from transformer.training.batches import Batch, training_batches
from transformer.training.fast_model import FastModel, Forward
from transformer.training.gradient import backward
from transformer.training.loop import Training, cross_entropy
from transformer.training.packing import Rows

OPTIONS: dict[str, dict[str, Any]] = SWITCHED | {
    "learned positions": {"position_layout": "learned"},
    "a start token that is <pad>": {"decoder_start_id": 0, "pad_id": 0},
}


def padded(size: int, lengths: Tensor, positions: int, pad_id: int, other: int) -> Tensor:
    """Random ids, [batch, position], with padding after each text's length alone."""
    found = torch.randint(0, size, (len(lengths), positions))
    found[found == pad_id] = other
    found[torch.arange(positions) >= lengths[:, None]] = pad_id
    return found


@pytest.mark.usefixtures("float64")
@settings(max_examples=60)
@given(
    config=configs(layer_norm_eps=0.1),
    seed=seeds,
    batch=sizes,
    longest=st.tuples(sizes, sizes),
    packs=st.tuples(st.booleans(), st.booleans()),
    multiple=st.integers(1, 8),
)
def test_outputs_and_gradients_are_the_models(
    config: TransformerConfig,
    seed: int,
    batch: int,
    longest: tuple[int, int],
    packs: tuple[bool, bool],
    multiple: int,
) -> None:
    torch.manual_seed(seed)
    assert_same(config, batch, longest, packs, multiple)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", OPTIONS)
def test_outputs_and_gradients_equal_with_each_imported_option(name: str) -> None:
    torch.manual_seed(2)
    sizes = {"source_vocab_size": 30, "target_vocab_size": 31, "d_model": 16, "d_ff": 24}
    small = {"num_encoder_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "dropout": 0.0}
    assert_same(TransformerConfig(**sizes | small | OPTIONS[name]), 6, (7, 6), (True, True))


def assert_same(
    config: TransformerConfig,
    batch: int,
    longest: tuple[int, int],
    packs: tuple[bool, bool],
    multiple: int = 1,
) -> None:
    model = Transformer(config)
    randomise(model)
    lengths = [torch.randint(1, most + 1, (batch,)) for most in longest]
    pad_id, other = config.pad_id, config.eos_id
    source = padded(config.source_vocab_size, lengths[0], longest[0], pad_id, other)
    target = padded(config.target_vocab_size, lengths[1], longest[1], pad_id, other)
    wanted = padded(config.target_vocab_size, lengths[1], longest[1], pad_id, other)
    target[:, 0] = config.decoder_start_id
    source_rows, target_rows = (
        Rows(batch, most, length if packed else None, multiple)
        for most, length, packed in zip(longest, lengths, packs, strict=True)
    )
    logits = model(source, target)
    theirs = logits.transpose(0, 1).flatten(0, 1)
    found = FastModel(model).packed(source, target, (source_rows, target_rows))
    close(found, theirs[target_rows.kept] if packs[1] else theirs)
    losses = (
        cross_entropy(logits, wanted, pad_id, 0.1, reduction="sum"),
        cross_entropy(found, target_rows.of(wanted), pad_id, 0.1, reduction="sum"),
    )
    gradients = [
        torch.autograd.grad(loss, list(model.parameters()), allow_unused=True) for loss in losses
    ]
    for theirs, ours in zip(*gradients, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            close(ours, theirs)


def batch_of(source: list[int], target: list[int]) -> Batch:
    """A batch of texts with these lengths."""
    found = [
        padded(9, torch.tensor(lengths), max(lengths), 0, 5) for lengths in (source, target, target)
    ]
    return Batch(*found)


CONFIG = TransformerConfig(source_vocab_size=9, target_vocab_size=9, d_model=8, num_heads=2, d_ff=8)


class Wrapped(nn.Module):
    """A model as DistributedDataParallel wraps it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        found: Tensor = self.module(source, target)
        return found


@pytest.mark.parametrize(
    ("lengths", "precision", "count"),
    [
        ([9, 3, 3, 3], "fp32", 18),
        ([9, 3, 3, 3], "bf16", 32),  # of 36
        ([9, 2, 1], "bf16", 27),  # all there are
        ([40, 20, 4], "bf16", 64),  # no padding is needed
        ([40, 20, 5], "bf16", 96),
    ],
)
def test_rows_are_a_multiple_of_32_in_bfloat16(
    lengths: list[int], precision: str, count: int
) -> None:
    rows = []

    def loss_of(model: Forward, batch: Batch, _: str) -> Tensor:
        logits = model(batch.source, batch.target_in)
        rows.append(len(logits))
        return logits.sum()

    backward(FastModel(Transformer(CONFIG)), batch_of(lengths, lengths), loss_of, precision)
    assert rows == [count]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("lengths", [[9, 3, 3, 3], [40, 20, 5], [30, 30, 2, 1]])
def test_padding_that_is_kept_has_no_gradient(lengths: list[int]) -> None:
    """The loss is computed in float64 both times; only the rows differ."""
    torch.manual_seed(3)
    model = FastModel(Transformer(CONFIG.replace(dropout=0.0)))
    batch = batch_of(lengths, lengths)

    def loss_of(model: Forward, batch: Batch, _: str) -> Tensor:
        logits = model(batch.source, batch.target_in)
        return cross_entropy(logits, batch.target_out, CONFIG.pad_id, 0.1, reduction="sum")

    found = []
    for precision in ("fp32", "bf16"):
        model.zero_grad()
        backward(model, batch, loss_of, precision)
        found.append([one.grad for one in model.parameters()])
    for one, other in zip(*found, strict=True):
        close(one, other)


def differentiate(batch: Batch, model: nn.Module | None = None, threads: int = 1) -> None:
    model = model or FastModel(Transformer(CONFIG))
    backward(model, batch, lambda called, some, _: called(*some[:2]).sum(), "fp32", 1.0, threads)


@pytest.mark.parametrize(
    ("source", "target", "sides"),
    [
        ([9, 3, 3], [4, 4, 4], [(True, False)]),
        ([4, 4, 4], [9, 3, 3], [(False, True)]),
        ([9, 3], [9, 3], [(True, True)]),
        ([6, 4], [6, 5], [(True, False)]),  # a sixth, and a twelfth
        ([6, 5], [6, 5], []),
        ([9, 0], [9, 3], [(False, True)]),  # a text of padding alone: the model looks at it
    ],
)
def test_a_side_is_packed_if_much_of_it_is_padding(
    source: list[int],
    target: list[int],
    sides: list[tuple[bool, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = packed_sides(monkeypatch)
    differentiate(batch_of(source, target))
    assert found == sides


def test_no_side_is_packed_for_a_wrapped_model_or_if_padding_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = packed_sides(monkeypatch)
    batch = batch_of([9, 3], [9, 3])
    differentiate(batch, Wrapped(FastModel(Transformer(CONFIG))))
    differentiate(batch, threads=0)
    assert not found


def test_a_fault_in_the_loss_still_counts_the_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    found = packed_sides(monkeypatch)
    losses = {}
    for fault in ("", "padding-in-loss"):
        for least in (0.0, 1.1):  # packed whatever it is, and never
            monkeypatch.setattr("transformer.training.gradient.MIN_PADDING", least)
            task, config = made(fault=fault, batch_size=30, bucketing=False)
            training = Training(fresh(config), task, config.training)
            share = next(training_batches(task, config.model, config.training))
            losses[fault, least] = training.differentiate(share)[0].item()
            assert found == [(True, True)]  # that of the first alone
    assert losses["", 0.0] == pytest.approx(losses["", 1.1])
    assert losses["padding-in-loss", 0.0] == losses["padding-in-loss", 1.1]

"""A batch in parallel parts, and without its padding: the whole batch's gradient, and less work."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.support.small_training import fresh, made, packed_sides, same, weights
from transformer.config import RunConfig
from transformer.decoding.steps import pad
from transformer.tasks import Task
from transformer.training.batches import Batch, training_batches
from transformer.training.gradient import MIN_TEXTS, backward, split
from transformer.training.loop import Training

PAD = 0


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def gradients(training: Training, batch: Batch, threads: int) -> tuple[Tensor, dict[str, Tensor]]:
    training.optimizer.zero_grad()
    total = backward(training.fast_model, batch, training.loss, "fp32", 0.01, threads)
    found = training.model.named_parameters()
    return total, {name: one.grad.clone() for name, one in found if one.grad is not None}


@pytest.mark.parametrize("changes", [{}, {"share_embeddings": True, "norm_first": False}])
@pytest.mark.parametrize(("threads", "bucketing"), [(3, True), (3, False), (1, False)])
@pytest.mark.parametrize("min_padding", [0.0, 1.1])
def test_the_gradient_is_that_of_the_whole(
    changes: dict[str, bool],
    bucketing: bool,
    threads: int,
    min_padding: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transformer.training.gradient.MIN_PADDING", min_padding)
    packed = packed_sides(monkeypatch)
    task, config = made(model=changes, bucketing=bucketing, batch_size=30)
    training = Training(fresh(config).double(), task, config.training)
    for share in islice(training_batches(task, config.model, config.training), 3):
        assert len(split(share.batch, 3, config.model.pad_id)) > 1
        whole, expected = gradients(training, share.batch, 0)
        total, found = gradients(training, share.batch, threads)
        assert torch.allclose(total, whole, rtol=1e-6)  # the loss is added up in float32
        assert found.keys() == expected.keys() == dict(training.model.named_parameters()).keys()
        for name, gradient in found.items():
            assert torch.allclose(gradient, expected[name], rtol=1e-10, atol=1e-12), name
    assert bool(packed) == (min_padding < 1)


def test_gradients_are_added_to_what_is_there() -> None:
    task, config = made(batch_size=30)
    training = Training(fresh(config), task, config.training)
    batch = next(training_batches(task, config.model, config.training)).batch
    _, once = gradients(training, batch, 2)
    backward(training.fast_model, batch, training.loss, "fp32", 0.01, 2)
    for name, parameter in training.model.named_parameters():
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, 2 * once[name])


@given(
    rows=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=40),
    most=st.integers(1, 5),
)
def test_every_row_is_in_one_part_without_loss(rows: list[tuple[int, int]], most: int) -> None:
    source = pad([[*range(10, 10 + n), 2] for n, _ in rows], PAD)
    target_in = pad([[1, *range(30, 30 + n)] for _, n in rows], PAD)
    target_out = pad([[*range(30, 30 + n), 2] for _, n in rows], PAD)
    found = split(Batch(source, target_in, target_out), most, PAD)
    assert len(found) <= max(1, min(most, len(rows) // MIN_TEXTS))

    def texts(batches: list[Batch]) -> list[list[list[int]]]:
        sides = (zip(*(side.tolist() for side in batch), strict=True) for batch in batches)
        return sorted(
            [[i for i in ids if i != PAD] for ids in row] for side in sides for row in side
        )

    assert texts(found) == texts([Batch(source, target_in, target_out)])
    work = max(len(part.source) * (part.source.size(1) + part.target_in.size(1)) for part in found)
    assert work <= source.numel() + target_in.numel()


def test_short_rows_are_not_padded_to_the_longest() -> None:
    lengths = [12] * 10 + [2] * 60
    ids = pad([[5] * n for n in lengths], PAD)
    long, short = split(Batch(ids, ids, ids), 2, PAD)
    assert (long.source.size(1), short.source.size(1)) == (12, 2)


def calls(task: Task, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each batch that a run of two updates splits into parts."""
    found: list[int] = []

    def counted(batch: Batch, most: int, pad_id: int) -> list[Batch]:
        found.append(1)
        return split(batch, most, pad_id)

    monkeypatch.setattr("transformer.training.gradient.split", counted)
    list(Training(fresh(config), task, config.training).events())
    return found


@pytest.mark.usefixtures("three_threads")
def test_dropout_a_fault_bfloat16_and_a_large_model_leave_the_batch_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {"steps": 2, "batch_size": 30, "threads": 3}
    assert calls(*made(**given), monkeypatch) == [1, 1]
    assert calls(*made(model={"dropout": 0.1}, **given), monkeypatch) == []
    assert calls(*made(fault="padding-in-loss", **given), monkeypatch) == []
    assert calls(*made(precision="bf16", **given), monkeypatch) == []
    monkeypatch.setattr("transformer.training.gradient.PARAMETERS", 1000)
    assert calls(*made(**given), monkeypatch) == []


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_repeats_bit_for_bit_on_as_many_threads(
    threads: int,
) -> None:
    found = []
    for _ in range(2):
        task, config = made(steps=6, batch_size=30, threads=threads, bucketing=False)
        torch.set_num_threads(threads)
        model = fresh(config)
        list(Training(model, task, config.training).events())
        found.append(weights(model))
    assert same(*found)
    assert torch.get_num_threads() == threads  # the workers' own setting changes no other

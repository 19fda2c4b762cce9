"""A batch's gradient: without computing its padding, and in parallel parts of similar length.

Of several threads, each computes a part of its own: threads that share every operation, as in
PyTorch, wait for each other hundreds of times a step, which slows down a small model; threads with
separate texts wait once. If a batch cannot be split for them, threads share the operations.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import torch
from torch import Tensor, nn

from transformer.training.batches import Batch
from transformer.training.fast_model import FastModel, Forward, is_plain
from transformer.training.packing import Rows

MIN_TEXTS = 4
"""Fewest texts of a part, except the last: with fewer, most of the time goes into calls."""
PARAMETERS = 4_000_000
"""Largest model whose parts are computed in parallel: each part has its own gradient, and a larger
model's operations keep the threads busy anyway."""
MIN_PADDING = 1 / 6
"""Least share of padding for which a side of a batch is packed. With less, copying rows for
attention costs more than computing the padding."""
ROWS_IN_BFLOAT16 = 32
"""Packed rows are a multiple of this in bfloat16, so that few batches have a shape of their own:
PyTorch compiles a product of bfloat16 for each new shape, which takes longer than the product."""

LossOf = Callable[[Forward, Batch, str], Tensor]
"""The training step's own loss: of a model, on a batch, in "fp32" or "bf16"."""


def backward(
    model: nn.Module,
    batch: Batch,
    loss_of: LossOf,
    precision: str,
    scale: float | Tensor = 1.0,
    threads: int = 1,
) -> Tensor:
    """Add the gradient of ``scale`` times a batch's loss to the parameters.

    Args:
        threads: number of threads that PyTorch is set to use; it can change the last bits.
            0: the batch is computed as it is, padding included.

    Returns:
        the loss, summed over the batch
    """
    work: list[tuple[Forward, Batch]] = [(model, batch)]
    # A hook or a fault in the model may depend on the whole batch.
    if isinstance(model, FastModel) and is_plain(model.model):
        work = [(model.plain, batch)]
        if threads and batch.source.device.type == "cpu":
            work = [
                _packed(model, part, precision) for part in _parts(model, batch, precision, threads)
            ]
    if len(work) == 1:
        loss = loss_of(*work[0], precision)
        (loss * scale).backward()
        return loss.detach()
    parameters = list(model.parameters())

    def part_of(part: tuple[Forward, Batch]) -> tuple[Tensor, tuple[Tensor, ...]]:
        loss = loss_of(*part, precision)
        return loss.detach(), torch.autograd.grad(loss * scale, parameters)

    found = list(_workers(threads).map(part_of, work))
    total, gradients = found[0]
    for loss, more in found[1:]:
        total = total + loss
        torch._foreach_add_(gradients, more)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    return total


def _packed(model: FastModel, batch: Batch, precision: str) -> tuple[Forward, Batch]:
    """The function and the batch to compute instead: packed, if there is much padding.

    The correct output is then in the order of the logits' rows.
    """
    pad_id = model.config.pad_id
    multiple = ROWS_IN_BFLOAT16 if precision == "bf16" else 1
    sides = []
    for ids in (batch.source, batch.target_out):
        lengths = _lengths(ids, pad_id)
        kept, shortest = int(lengths.sum()), int(lengths.min())
        packs = shortest > 0 and kept <= (1 - MIN_PADDING) * ids.numel()
        sides.append(Rows(len(ids), ids.size(1), lengths if packs else None, multiple))
    source, target = sides
    if not (source.packed or target.packed):
        return model.plain, batch
    ordered = batch._replace(target_out=target.of(batch.target_out))
    return partial(model.packed, rows=(source, target)), ordered


def _parts(model: FastModel, batch: Batch, precision: str, threads: int) -> list[Batch]:
    """The parts to compute in parallel. The batch stays whole if parts would change the result, as
    with dropout, whose random numbers depend on the order of the calls, and in bfloat16, where most
    parts would have a shape of their own (:data:`ROWS_IN_BFLOAT16`).
    """
    if (
        threads > 1
        and precision != "bf16"
        and model.config.dropout == 0
        and sum(parameter.numel() for parameter in model.parameters()) <= PARAMETERS
    ):
        return split(batch, threads, model.config.pad_id)
    return [batch]


def split(batch: Batch, most: int, pad_id: int) -> list[Batch]:
    """Up to ``most`` parts of a batch, longest texts first."""
    sources, targets = _lengths(batch.source, pad_id), _lengths(batch.target_out, pad_id)
    if not sources.all():  # a text of padding alone: the model looks at all of it
        return [batch]
    lengths, order = (sources + targets).sort(descending=True, stable=True)
    found = even_work(lengths.tolist(), most)
    if len(found) == 1:
        return [batch]
    parts = []
    for taken in order.split(found):
        source, target = (int(side[taken].max()) for side in (sources, targets))
        parts.append(
            Batch(
                batch.source[taken, :source],
                batch.target_in[taken, :target],
                batch.target_out[taken, :target],
            )
        )
    return parts


def even_work(lengths: Sequence[int], most: int) -> list[int]:
    """Texts of each of up to ``most`` parts, with as little work as possible in the largest."""
    most = max(1, min(most, len(lengths) // MIN_TEXTS))
    # The smallest limit on a part's work with which ``most`` parts are enough.
    all_of_it = range(1, lengths[0] * len(lengths) + 1)
    work = 1 + bisect_left(all_of_it, True, key=lambda work: len(_counts(lengths, work)) <= most)
    return _counts(lengths, work)


def _counts(lengths: Sequence[int], work: int) -> list[int]:
    """Texts of each part if none, padded to its longest, may be more than ``work`` positions."""
    counts: list[int] = []
    start = 0
    while start < len(lengths):
        counts.append(min(max(1, work // lengths[start]), len(lengths) - start))
        start += counts[-1]
    return counts


def _lengths(ids: Tensor, pad_id: int) -> Tensor:
    """Positions of each text up to its last token, [batch]."""
    return ((ids != pad_id) * torch.arange(1, ids.size(1) + 1)).amax(dim=1)


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads that compute on their own: each sets PyTorch to one thread for its operations."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

"""A batch's gradient, computed in parts of rows of similar length, which need less padding.

Of several threads, each computes a part of its own: threads that share every operation, as in
PyTorch, wait for each other hundreds of times a step, which slows down a small model; threads with
separate rows wait once. If a batch cannot be split for them, threads share the operations. A single
thread computes parts one after the other, as many as save more padding than their calls cost.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import torch
from torch import Tensor, nn

from transformer.training.batches import Batch
from transformer.training.fast_model import FastModel, is_plain
from transformer.training.precision import Forward, LossOf

ROWS = 4
"""Fewest rows of a part, except the last: with fewer, most of the time goes into calls."""
PARAMETERS = 4_000_000
"""Largest model whose parts are computed in parallel: each part has its own gradient, and a larger
model's operations keep the threads busy anyway."""
CALLS = 400
"""Cost of the calls of one more part: a small model computes this many positions in that time."""
CUTS = 16
"""Approximate number of evenly spaced places in a batch where a single thread may begin a part."""


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
            0: the batch stays whole, however many there are.

    Returns:
        the loss, summed over the batch
    """
    forward: Forward = model
    parts = [batch]
    # A hook or a fault in the model may depend on the whole batch.
    if isinstance(model, FastModel) and is_plain(model.model):
        forward = model.plain
        parts = _parts(model, batch, threads)
    if threads <= 1 or len(parts) == 1:
        losses = []
        for part in parts:
            loss = loss_of(forward, part, precision)
            (loss * scale).backward()
            losses.append(loss.detach())
        return sum(losses[1:], losses[0])
    parameters = list(model.parameters())

    def part_of(part: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        loss = loss_of(forward, part, precision)
        return loss.detach(), torch.autograd.grad(loss * scale, parameters)

    found = list(_workers(threads).map(part_of, parts))
    total, gradients = found[0]
    for loss, more in found[1:]:
        total = total + loss
        torch._foreach_add_(gradients, more)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    return total


def _parts(model: FastModel, batch: Batch, threads: int) -> list[Batch]:
    """The parts to compute. The batch stays whole if parts would change the result, as with
    dropout in parallel, whose random numbers depend on the order of the calls.
    """
    if not threads or batch.source.device.type != "cpu":
        return [batch]
    if threads == 1:
        if batch.source.numel() + batch.target_in.numel() <= CALLS:  # nothing can be saved
            return [batch]
        return split(batch, least_work, model.config.pad_id)
    if (
        model.config.dropout == 0
        and sum(parameter.numel() for parameter in model.parameters()) <= PARAMETERS
    ):
        return split(batch, partial(even_work, most=threads), model.config.pad_id)
    return [batch]


def split(
    batch: Batch, counts: Callable[[Sequence[int]], Sequence[int]], pad_id: int
) -> list[Batch]:
    """Parts of a batch, longest rows first.

    Args:
        counts: gives the number of rows of each part for the rows' lengths, in descending order.
    """
    sources, targets = _lengths(batch.source, pad_id), _lengths(batch.target_out, pad_id)
    lengths, order = (sources + targets).sort(descending=True, stable=True)
    found = counts(lengths.tolist())
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
    """Rows of each of up to ``most`` parts, with as little work as possible in the largest."""
    most = max(1, min(most, len(lengths) // ROWS))
    # The smallest limit on a part's work with which ``most`` parts are enough.
    all_of_it = range(1, lengths[0] * len(lengths) + 1)
    work = 1 + bisect_left(all_of_it, True, key=lambda work: len(_counts(lengths, work)) <= most)
    return _counts(lengths, work)


def least_work(lengths: Sequence[int]) -> list[int]:
    """Rows of each part, with as little total work as possible, calls included."""
    places = [*range(0, len(lengths), max(ROWS, len(lengths) // CUTS)), len(lengths)]
    work, parts = {0: 0}, {0: list[int]()}  # least work, and its parts, of the rows before a place
    for end in places[1:]:
        work[end], start = min(
            (work[start] + lengths[start] * (end - start) + CALLS, start) for start in work
        )
        parts[end] = [*parts[start], end - start]
    return parts[len(lengths)]


def _counts(lengths: Sequence[int], work: int) -> list[int]:
    """Rows of each part if none, padded to its longest row, may be more than ``work`` positions."""
    counts: list[int] = []
    start = 0
    while start < len(lengths):
        counts.append(min(max(1, work // lengths[start]), len(lengths) - start))
        start += counts[-1]
    return counts


def _lengths(ids: Tensor, pad_id: int) -> Tensor:
    """Positions of each row up to its last token, [batch]; at least 1."""
    places = torch.arange(1, ids.size(1) + 1)
    return ((ids != pad_id) * places).amax(dim=1).clamp(min=1)


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads that compute on their own: each sets PyTorch to one thread for its operations."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

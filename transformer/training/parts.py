"""A batch's gradient in parts, each of rows of like length, which need less padding together.

On several threads each takes a part of its own: threads that share every operation wait for each
other hundreds of times a step, which a small model feels; threads with rows of their own wait
once. Where rows cannot be parted so, threads share the operations, as is PyTorch's way. One thread
takes the parts one after the other, as many as save more padding than their calls cost.
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
"""A part, but for the last, has at least so many: of fewer, most of the time goes into calls."""
PARAMETERS = 4_000_000
"""Of parts at once each has a gradient of its own; of a larger model the operations alone keep
threads busy."""
CALLS = 400
"""Positions of a small model that take about as long as the calls of one part more."""
CUTS = 16
"""About so many places in a batch, evenly spread, at which one thread may begin a part."""


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
        threads: those that PyTorch has been told to use. Their number can change the last bits.
            0: however many there are, the batch stays whole.

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
    """Parts to compute; the batch alone where they would not come out as the whole: of parts at
    once, dropout draws its numbers in the order of the calls.
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
        counts: of the rows' lengths, which fall, to how many rows each part has.
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
    """Up to so many parts, of which the largest is least work."""
    most = max(1, min(most, len(lengths) // ROWS))
    # The least work with which that many are enough.
    all_of_it = range(1, lengths[0] * len(lengths) + 1)
    work = 1 + bisect_left(all_of_it, True, key=lambda work: len(_counts(lengths, work)) <= most)
    return _counts(lengths, work)


def least_work(lengths: Sequence[int]) -> list[int]:
    """Parts that are least work together, calls included."""
    places = [*range(0, len(lengths), max(ROWS, len(lengths) // CUTS)), len(lengths)]
    work, parts = {0: 0}, {0: list[int]()}  # of the rows before each place
    for end in places[1:]:
        work[end], start = min(
            (work[start] + lengths[start] * (end - start) + CALLS, start) for start in work
        )
        parts[end] = [*parts[start], end - start]
    return parts[len(lengths)]


def _counts(lengths: Sequence[int], work: int) -> list[int]:
    """How many rows each part has that is padded to its longest, if none may be more work."""
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
    """Threads that compute by themselves: what one sets is for the operations it calls."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

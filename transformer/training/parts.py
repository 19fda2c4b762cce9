"""A batch's gradient on several threads: each takes some rows of its own.

Threads that share every operation wait for each other hundreds of times a step, which a small model
feels; threads with rows of their own wait once. And rows of like length need less padding. Where
rows cannot be parted so, threads share the operations, as is PyTorch's way.
"""

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor, nn

from transformer.training.batches import Batch
from transformer.training.form import TrainingForm, is_plain
from transformer.training.precision import LossOf

ROWS = 4
"""A part has at least so many: of fewer, most of the time goes into calls."""
PARAMETERS = 4_000_000
"""Each part has a gradient of its own; of a larger model the operations alone keep threads busy."""


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

    Returns:
        the loss, summed over the batch
    """
    parts = _parts(model, batch, threads)
    if len(parts) == 1:
        total = loss_of(model, batch, precision)
        (total * scale).backward()
        return total.detach()
    parameters = list(model.parameters())

    def part_of(part: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        loss = loss_of(model, part, precision)
        return loss.detach(), torch.autograd.grad(loss * scale, parameters)

    found = list(_workers(threads).map(part_of, parts))
    total, gradients = found[0]
    for loss, more in found[1:]:
        total = total + loss
        torch._foreach_add_(gradients, more)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    return total


def _parts(model: nn.Module, batch: Batch, threads: int) -> list[Batch]:
    """Parts to compute at once; the batch alone where they would not come out as the whole.

    Dropout draws its numbers in the order of the calls, and a hook or a fault in the model may
    depend on the whole batch.
    """
    if (
        threads > 1
        and isinstance(model, TrainingForm)
        and batch.source.device.type == "cpu"
        and model.config.dropout == 0
        and is_plain(model.model)
        and sum(parameter.numel() for parameter in model.parameters()) <= PARAMETERS
    ):
        return split(batch, threads, model.config.pad_id)
    return [batch]


def split(batch: Batch, most: int, pad_id: int) -> list[Batch]:
    """Up to so many parts of a batch, longest rows first, of which the largest is least work."""
    sources, targets = _lengths(batch.source, pad_id), _lengths(batch.target_out, pad_id)
    lengths, order = (sources + targets).sort(descending=True, stable=True)
    rows: list[int] = lengths.tolist()
    most = max(1, min(most, len(rows) // ROWS))
    # The least work with which that many are enough.
    all_of_it = range(1, rows[0] * len(rows) + 1)
    work = 1 + bisect_left(all_of_it, True, key=lambda work: len(_counts(rows, work)) <= most)
    parts = []
    for taken in order.split(_counts(rows, work)):
        source, target = (int(side[taken].max()) for side in (sources, targets))
        parts.append(
            Batch(
                batch.source[taken, :source],
                batch.target_in[taken, :target],
                batch.target_out[taken, :target],
            )
        )
    return parts


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

"""Forward and backward passes on a graphics card, recorded once and replayed as one launch.

A step of a small model is hundreds of kernels, each of which takes the processor longer to launch
than the card to run. A CUDA graph launches all of them at once; it repeats the same kernels on the
same shapes, so every shape of a batch needs its own graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from transformer.config import TransformerConfig
from transformer.training.batches import Batch
from transformer.training.fast_model import FastModel

LENGTHS = 8
"""Texts are padded to a multiple of this many positions: otherwise nearly every batch would have a
different shape."""
MOST_BYTES = 4 << 30
"""Most memory on the card for the gradients of all graphs: each graph has its own."""

Backward = Callable[[Batch, Tensor], Tensor]
"""Adds the gradient of the loss, times a scale, to the parameters; returns the loss."""


@dataclass(frozen=True)
class Recorded:
    """The graph of one shape, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    scale: Tensor
    loss: Tensor
    gradients: Sequence[Tensor | None]


class GraphedBackward:
    """A backward pass that is recorded when a shape occurs for the second time.

    The first time it runs without a graph, so that PyTorch can make the allocations and choices
    that it may not make while a graph is recorded.
    """

    def __init__(self, backward: Backward, model: FastModel) -> None:
        """model: on the card; only its parameters and its config are used."""
        self.backward = backward
        self.config = model.config
        self.parameters = list(model.parameters())
        self._seen: dict[tuple[torch.Size, torch.Size], Recorded | None] = {}
        size = sum(one.numel() * one.element_size() for one in self.parameters)
        self._room = MOST_BYTES // size
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, batch: Batch, scale: float) -> Tensor:
        """The loss of a batch; its gradient, times ``scale``, is left in the parameters.

        They must have no gradient before. The next call overwrites the returned loss.
        """
        batch = widened(batch, self.config).to(self.parameters[0].device)
        shape = batch.source.shape, batch.target_in.shape
        if shape in self._seen and self._seen[shape] is None and self._room > 0:
            self._seen[shape] = self._record(batch)
        found = self._seen.setdefault(shape, None)
        if found is None:
            return self.backward(batch, torch.full((), scale, device=batch.source.device))
        for ours, given in zip(found.batch, batch, strict=True):
            ours.copy_(given)
        found.scale.fill_(scale)
        found.graph.replay()
        for parameter, gradient in zip(self.parameters, found.gradients, strict=True):
            parameter.grad = gradient
        return found.loss

    def _record(self, example: Batch) -> Recorded | None:
        """A graph for batches of this shape; None if it fails, and then no other is tried."""
        batch = Batch(*(ids.clone() for ids in example))
        scale, graph = torch.ones((), device=batch.source.device), torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                loss = self.backward(batch, scale)
        except RuntimeError:  # such as too little memory: training goes on without, slower
            self._room = 0
            for parameter in self.parameters:
                parameter.grad = None
            return None
        self._room -= 1
        return Recorded(graph, batch, scale, loss, [one.grad for one in self.parameters])


def widened(batch: Batch, config: TransformerConfig) -> Batch:
    """The batch padded to multiples of :data:`LENGTHS`, which changes no real position."""
    sides = []
    for ids in batch:
        wide = min(-(-ids.size(1) // LENGTHS) * LENGTHS, config.max_length)
        more = max(0, wide - ids.size(1))  # for a text that is too long, the model raises an error
        sides.append(F.pad(ids, (0, more), value=config.pad_id))
    return Batch(*sides)

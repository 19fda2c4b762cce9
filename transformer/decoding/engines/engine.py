"""The decoder, asked for one position after the other: what every search stands on.

Four do the same work. :class:`ModelSteps` runs the model as ``model.py`` has it, with or without
its cache, and so obeys every hook; it is the oracle. :class:`FastSteps` makes the same numbers, up
to rounding, in a fraction of the operations; :class:`NumpySteps` does so in cheaper ones for one
hypothesis alone, and :class:`BeamSteps` for those of one sentence. All but :class:`NumpySteps` are
:class:`BatchSteps`.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from transformer.decoding.engines.fused import FastSteps
from transformer.decoding.engines.single import NumpySteps
from transformer.decoding.engines.single_beam import BeamSteps
from transformer.hooks import is_hooked, record
from transformer.model import Transformer

ATTENTION = ("cross_attention", "self_attention")
WIDEST = 16
"""Beam that :class:`FastSteps` takes: its work grows with the square of it."""


class StepDecoder(Protocol):
    """Encoded sources, and for each of them ``beam`` hypotheses that grow token by token."""

    def logits(self, written: Tensor) -> Tensor:
        """Of the token after each hypothesis, which grew by one since the last call.

        Args:
            written: ids, start token first, [batch, beam, length].

        Returns:
            [batch, beam, vocabulary]
        """

    def attention(self) -> tuple[Tensor, Tensor]:
        """Of the last position: over the source, and over the positions so far.

        [batch, beam, layer, head, key] each.
        """

    def follow(self, parents: Tensor) -> None:
        """The k-th hypothesis goes on from what was number ``parents[b, k]``: [batch, beam]."""


class BatchSteps(StepDecoder, Protocol):
    """A decoder of many rows, which are sentences times hypotheses, some of which can be dropped.

    batch, beam: sentences, and hypotheses of each.
    device, dtype: of the logits.
    """

    batch: int
    beam: int
    device: torch.device
    dtype: torch.dtype

    def after(self, tokens: Tensor) -> Tensor:
        """The logits after these tokens of each hypothesis, [rows] -> [rows, vocabulary]."""

    def keep(self, going: Tensor) -> None:
        """Only these sentences go on: boolean, [batch]."""


def step_decoder(
    model: Transformer,
    source: Tensor,
    *,
    beam_size: int = 1,
    attention: bool = False,
    cached: bool = True,
) -> StepDecoder:
    """A fast one, unless somebody hooked into the model, or asked for the slow obvious way.

    A model of a class of its own, such as one with planted faults, is asked the slow way too: it
    may compute something else, and what it computed before may not hold for the next position.
    Hooks are those of :mod:`hooks`; with PyTorch's own, ask for ``cached=False``.
    """
    if cached and _runs_fast(model, beam_size) and NumpySteps.takes(model, source, beam_size):
        return NumpySteps(model, source)
    return batch_steps(model, source, beam_size=beam_size, attention=attention, cached=cached)


def batch_steps(
    model: Transformer,
    source: Tensor,
    *,
    beam_size: int = 1,
    attention: bool = False,
    cached: bool = True,
) -> BatchSteps:
    """As :func:`step_decoder`, for a search that drops sentences."""
    if not (cached and _runs_fast(model, beam_size)):
        cached = cached and type(model) is Transformer
        return ModelSteps(model, source, beam_size, attention=attention, cached=cached)
    if BeamSteps.takes(model, source, beam_size):
        return BeamSteps(model, source, beam_size)
    return FastSteps(model, source, beam_size)


def _runs_fast(model: Transformer, beam_size: int) -> bool:
    """Whether a fast engine computes what the model would, with nobody looking inside."""
    return type(model) is Transformer and beam_size <= WIDEST and not is_hooked(model)


class ModelSteps:
    """The model itself, step by step.

    cached: False computes every position again at each step.
    attention: whether :meth:`attention` will be asked for.
    """

    def __init__(
        self,
        model: Transformer,
        source: Tensor,
        beam_size: int = 1,
        *,
        attention: bool = False,
        cached: bool = True,
    ) -> None:
        self.model = model
        self.batch, self.beam = source.size(0), beam_size
        self.device, self.dtype = source.device, model.dtype
        self.memory = model.encode(source, cached=cached)
        # Rows of the flattened batch: sentence b has rows b·beam to (b+1)·beam - 1.
        self.memory.select(
            torch.arange(self.batch, device=self.device).repeat_interleave(beam_size)
        )
        self.written = source.new_empty((self.batch * beam_size, 0))  # [rows, length]
        layers = range(model.config.num_decoder_layers) if attention else ()
        self._names = {
            kind: [f"decoder.layers.{layer}.{kind}.weights" for layer in layers]
            for kind in ATTENTION
        }
        self._seen: dict[str, Tensor] = {}

    def logits(self, written: Tensor) -> Tensor:
        return self.after(written[..., -1].flatten()).unflatten(0, (self.batch, self.beam))

    def after(self, tokens: Tensor) -> Tensor:
        self.written = torch.cat([self.written, tokens[:, None]], dim=1)
        names = [name for kind in self._names.values() for name in kind]
        with record(self.model, names) as self._seen:
            logits = self.model.decode(self.written[:, self.memory.length :], self.memory)
        return logits[:, -1]

    def attention(self) -> tuple[Tensor, Tensor]:
        cross, own = (self._last(self._names[kind]) for kind in ATTENTION)
        return cross, own

    def _last(self, names: Sequence[str]) -> Tensor:
        layers = torch.stack([self._seen[name][:, :, -1] for name in names], dim=1)
        return layers.unflatten(0, (self.batch, self.beam))

    def follow(self, parents: Tensor) -> None:
        first_row = torch.arange(len(parents), device=parents.device)[:, None] * parents.size(1)
        self._select((first_row + parents).flatten())

    def keep(self, going: Tensor) -> None:
        self._select(going.repeat_interleave(self.beam))
        self.batch = int(going.sum())

    def _select(self, rows: Tensor) -> None:
        self.memory.select(rows)
        self.written = self.written[rows]

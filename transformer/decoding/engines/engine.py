"""Engines: the decoder run one position at a time, which every search uses.

Four engines compute the same logits. :class:`ModelSteps` runs ``model.py`` itself, with or
without its cache, and so calls every hook; it is the reference in the tests. The others agree
with it up to rounding. :class:`FastSteps` needs a fraction of the operations; in NumPy, where
operations are cheaper, :class:`NumpySteps` computes a single hypothesis and :class:`BeamSteps` the
beam of one sentence. All except :class:`NumpySteps` are :class:`BatchSteps`.
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
"""Largest beam that the fast engines accept: their work grows with its square."""


class StepDecoder(Protocol):
    """Encoded sources, each with ``beam`` hypotheses that grow by one token per call."""

    def logits(self, written: Tensor) -> Tensor:
        """Logits of each hypothesis's next token; each must have grown by one since the last call.

        Args:
            written: ids, start token first, [batch, beam, length].

        Returns:
            [batch, beam, vocabulary]
        """

    def attention(self) -> tuple[Tensor, Tensor]:
        """Attention weights of the last position: over the source, and over all target positions.

        [batch, beam, layer, head, key] each.
        """

    def follow(self, parents: Tensor) -> None:
        """Let hypothesis k of sentence b continue hypothesis ``parents[b, k]``: [batch, beam]."""


class BatchSteps(StepDecoder, Protocol):
    """An engine for a batch of sentences; finished ones can be dropped. It has batch · beam rows.

    batch, beam: number of sentences, and of hypotheses per sentence.
    device, dtype: of the logits.
    """

    batch: int
    beam: int
    device: torch.device
    dtype: torch.dtype

    def after(self, tokens: Tensor) -> Tensor:
        """Append a token to each hypothesis: [rows] ids -> next logits, [rows, vocabulary]."""

    def keep_sentences(self, unfinished: Tensor) -> None:
        """Drop all sentences except those where ``unfinished`` is True, [batch]."""


def step_decoder(
    model: Transformer,
    source: Tensor,
    *,
    beam_size: int = 1,
    attention: bool = False,
    cached: bool = True,
) -> StepDecoder:
    """A fast engine; the model itself if it has hooks or if ``cached`` is False.

    A subclass of the model, such as one with planted faults, also runs itself, and without its
    cache: it may compute differently, and cached values may not hold for the next position. Only
    hooks of :mod:`hooks` are noticed; with PyTorch's own hooks, pass ``cached=False``.
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
    """Like :func:`step_decoder`, for a search that drops finished sentences."""
    if not (cached and _runs_fast(model, beam_size)):
        cached = cached and type(model) is Transformer
        return ModelSteps(model, source, beam_size, attention=attention, cached=cached)
    if BeamSteps.takes(model, source, beam_size):
        return BeamSteps(model, source, beam_size)
    return FastSteps(model, source, beam_size)


def _runs_fast(model: Transformer, beam_size: int) -> bool:
    """Whether a fast engine may replace the model: it is no subclass and has no hooks."""
    return type(model) is Transformer and beam_size <= WIDEST and not is_hooked(model)


class ModelSteps:
    """Runs the model itself, step by step.

    cached: False recomputes every position at each step.
    attention: whether :meth:`attention` will be called.
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

    def keep_sentences(self, unfinished: Tensor) -> None:
        self._select(unfinished.repeat_interleave(self.beam))
        self.batch = int(unfinished.sum())

    def _select(self, rows: Tensor) -> None:
        self.memory.select(rows)
        self.written = self.written[rows]

"""The decoder of ``model.py`` for one position, in as few operations as it takes.

What it saves: queries, keys and values of a position come out of one product; the division by
√d_k is in the weights; keys and values are written into room that is there already; those of
the source are computed once a sentence, however many hypotheses look at them; and a beam moves
no cache. Each hypothesis keeps writing into its own slot, and a mask says which slots of the
past are its ancestors'.

Slot b of position t is at t·beam + b of the key axis.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transformer.model import (
    ACTIVATIONS,
    DecoderLayer,
    LayerNorm,
    MultiHeadAttention,
    Transformer,
)

Function = Callable[[Tensor], Tensor]
FIRST_ROOM = 16
"""Positions there is room for at first; it doubles when they are used up."""


class _Layer(NamedTuple):
    """One decoder layer's products and norms, each a function of [rows, d_model]."""

    queries_keys_values: Function
    own_output: Function
    own_norm: Function
    queries: Function
    cross_output: Function
    cross_norm: Function
    inner: Function
    outer: Function
    feed_forward_norm: Function


def _linear(*parts: nn.Linear, scale: float = 1.0) -> Function:
    """Several projections of the same input in one; the first one's result times ``scale``."""
    weights: list[Tensor] = [part.weight for part in parts]
    biases: list[Tensor] = [part.bias for part in parts]
    if scale != 1.0:
        weights[0], biases[0] = weights[0] * scale, biases[0] * scale
    if len(parts) == 1:
        return partial(F.linear, weight=weights[0], bias=biases[0])
    return partial(F.linear, weight=torch.cat(weights), bias=torch.cat(biases))


def _norm(norm: nn.Module) -> Function:
    if not isinstance(norm, LayerNorm):
        return norm
    shape = tuple(norm.gain.shape)
    return partial(
        F.layer_norm, normalized_shape=shape, weight=norm.gain, bias=norm.bias, eps=norm.eps
    )


def _prepared(layer: DecoderLayer, scale: float) -> _Layer:
    own, cross = layer.self_attention, layer.cross_attention
    return _Layer(
        _linear(own.query, own.key, own.value, scale=scale),
        _linear(own.output),
        _norm(layer.self_attention_residual.norm),
        _linear(cross.query, scale=scale),
        _linear(cross.output),
        _norm(layer.cross_attention_residual.norm),
        _linear(layer.feed_forward.inner),
        _linear(layer.feed_forward.outer),
        _norm(layer.feed_forward_residual.norm),
    )


class FastSteps:
    """A :class:`transformer.step_decoder.StepDecoder` that runs no module of the decoder.

    The weights are those that the model has now. No hook is called.

    Raises:
        ValueError: more positions are asked for than the model has.
    """

    def __init__(self, model: Transformer, source: Tensor, beam_size: int = 1) -> None:
        config = model.config
        self.batch, self.beam = source.size(0), beam_size
        self.heads, self.d_model = config.num_heads, config.d_model
        self.norm_first = config.norm_first
        self.activation = ACTIVATIONS[config.activation]
        self.embedding = model.target_embedding
        scale = 1 / math.sqrt(config.d_model // config.num_heads)
        layers = cast("list[DecoderLayer]", list(model.decoder.layers))
        self.layers = [_prepared(layer, scale) for layer in layers]
        self.norm = _norm(model.decoder.norm)
        self.output = _linear(model.output)
        memory = model.encode(source)
        self.source = [self._projected(layer.cross_attention, memory.encoded) for layer in layers]
        self.lowest = torch.finfo(memory.encoded.dtype).min
        # What is added to scores, [batch, 1, source]; none where no sentence is padded.
        padded = ~memory.mask[:, 0]
        self.source_mask = None
        if padded.any():
            nothing = memory.encoded.new_zeros(padded.shape)
            self.source_mask = nothing.masked_fill(padded, self.lowest)
        self.length = 0
        room = min(FIRST_ROOM, config.max_length)
        empty = memory.encoded.new_empty(
            2, self.batch * self.heads, room * beam_size, self.d_model // self.heads
        )
        self.past = [empty.clone() for _ in layers]  # keys, values: [2, batch·head, slot, d_k]
        self.ancestry = self._own_slots(room, empty)  # [batch, beam, slot]; see :meth:`follow`
        self.seen: list[tuple[Tensor, Tensor]] = []

    def _projected(self, attention: MultiHeadAttention, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """The source's keys and values, [batch·head, source, d_k] each."""
        keys, values = attention.project(encoded)
        return keys.flatten(0, 1).contiguous(), values.flatten(0, 1).contiguous()

    def _own_slots(self, positions: int, like: Tensor) -> Tensor:
        """What is added to scores where each hypothesis descends from itself."""
        others = like.new_full((self.beam, self.beam), self.lowest).fill_diagonal_(0.0)
        return others.repeat(1, positions).expand(self.batch, -1, -1).contiguous()

    def logits(self, written: Tensor) -> Tensor:
        self._make_room()
        x = self.embedding(written[..., -1].reshape(-1, 1), self.length)[:, 0]  # [rows, d_model]
        self.seen = []
        for number, layer in enumerate(self.layers):
            attend = partial(self._attend_to_past, layer, number)
            x = self._residual(x, attend, layer.own_norm)
            attend = partial(self._attend_to_source, layer, number)
            x = self._residual(x, attend, layer.cross_norm)
            x = self._residual(x, partial(self._feed_forward, layer), layer.feed_forward_norm)
        self.length += 1
        return self.output(self.norm(x)).view(self.batch, self.beam, -1)

    def _residual(self, x: Tensor, sublayer: Function, norm: Function) -> Tensor:
        return x + sublayer(norm(x)) if self.norm_first else norm(x + sublayer(x))

    def _feed_forward(self, layer: _Layer, x: Tensor) -> Tensor:
        return layer.outer(self.activation(layer.inner(x)))

    def _attend_to_past(self, layer: _Layer, number: int, x: Tensor) -> Tensor:
        # [three, batch, head, beam, d_k]
        parts = layer.queries_keys_values(x).view(self.batch, self.beam, 3, self.heads, -1)
        parts = parts.permute(2, 0, 3, 1, 4)
        slots = self.length * self.beam
        past = self.past[number]
        past[:, :, slots : slots + self.beam].view(2, *parts.shape[1:]).copy_(parts[1:])
        keys, values = past[:, :, : slots + self.beam].unbind()
        mask = self.ancestry[:, :, : slots + self.beam] if self.beam > 1 else None
        mixed, weights = self._attend(parts[0], keys, values, mask)
        self.seen.append((weights, weights))
        return layer.own_output(mixed)

    def _attend_to_source(self, layer: _Layer, number: int, x: Tensor) -> Tensor:
        queries = layer.queries(x).view(self.batch, self.beam, self.heads, -1)
        keys, values = self.source[number]
        mixed, weights = self._attend(queries.transpose(1, 2), keys, values, self.source_mask)
        self.seen[-1] = (weights, self.seen[-1][1])
        return layer.cross_output(mixed)

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Softmax(QKᵀ)V with queries divided by √d_k before: section 3.2.1.

        Args:
            queries: [batch, head, beam, d_k]
            keys, values: [batch·head, key, d_k]
            mask: what is added to scores, [batch, beam or 1, key].

        Returns:
            [rows, d_model] and the weights, [batch·head, beam, key].
        """
        scores = torch.bmm(queries.reshape(-1, self.beam, queries.size(-1)), keys.mT)
        if mask is not None:
            by_sentence = scores.view(self.batch, self.heads, self.beam, -1)
            scores = (by_sentence + mask[:, None]).flatten(0, 1)
        weights = torch.softmax(scores, dim=-1)
        mixed = torch.bmm(weights, values).view(self.batch, self.heads, self.beam, -1)
        return mixed.transpose(1, 2).reshape(-1, self.d_model), weights

    def _make_room(self) -> None:
        used = self.length * self.beam
        if used < self.past[0].size(2):
            return
        more = self._own_slots(self.length, self.past[0])
        self.ancestry = torch.cat([self.ancestry, more], dim=2)
        self.past = [torch.cat([past, torch.empty_like(past)], dim=2) for past in self.past]

    def attention(self) -> tuple[Tensor, Tensor]:
        cross = torch.stack([weights for weights, _ in self.seen])
        # Of the slots of a position all but the ancestor's weigh nothing.
        own = torch.stack([weights for _, weights in self.seen])
        own = own.unflatten(-1, (-1, self.beam)).sum(-1)
        shape = (len(self.layers), self.batch, self.heads, self.beam, -1)
        return cross.view(shape).permute(1, 3, 0, 2, 4), own.view(shape).permute(1, 3, 0, 2, 4)

    def follow(self, parents: Tensor) -> None:
        if self.beam == 1:
            return
        used = self.length * self.beam
        where = parents[..., None].expand(-1, -1, used)
        self.ancestry[..., :used] = self.ancestry[..., :used].gather(1, where)

    def keep(self, going: Tensor) -> None:
        kept = going.repeat_interleave(self.heads)
        self.batch = int(going.sum())
        self.past = [past[:, kept] for past in self.past]
        self.source = [(keys[kept], values[kept]) for keys, values in self.source]
        self.ancestry = self.ancestry[going]
        if self.source_mask is not None:
            self.source_mask = self.source_mask[going]

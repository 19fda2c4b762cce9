"""The decoder of ``model.py`` for one position, in as few operations as it takes.

What it saves besides what :mod:`transformer.fast_layers` does: keys and values are written into
room that is there already; those of the source are computed once a sentence, however many
hypotheses look at them; and a beam moves no cache. Each hypothesis keeps writing into its own
slot, and a mask says which slots of the past are its ancestors'.

Slot b of position t is at t·beam + b of the key axis.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from transformer.fast_encoder import fast_encode
from transformer.fast_layers import (
    Function,
    attend,
    feed_forward,
    linear,
    norm_of,
    residual,
    scale_of,
)
from transformer.model import DecoderLayer, MultiHeadAttention, Transformer

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
    feed_forward: Function
    feed_forward_norm: Function


def _prepared(layer: DecoderLayer) -> _Layer:
    own, cross, scale = layer.self_attention, layer.cross_attention, scale_of(layer.self_attention)
    return _Layer(
        linear(own.query, own.key, own.value, scale=scale),
        linear(own.output),
        norm_of(layer.self_attention_residual.norm),
        linear(cross.query, scale=scale),
        linear(cross.output),
        norm_of(layer.cross_attention_residual.norm),
        feed_forward(layer.feed_forward),
        norm_of(layer.feed_forward_residual.norm),
    )


class FastSteps:
    """A :class:`transformer.step_decoder.StepDecoder` that runs no module of the decoder.

    The weights are those that the model has now, copied where several are one product: kept
    from call to call they would double a large model, and be stale in training. No hook is called.

    Raises:
        ValueError: more positions are asked for than the model has.
    """

    def __init__(self, model: Transformer, source: Tensor, beam_size: int = 1) -> None:
        config = model.config
        self.batch, self.beam = source.size(0), beam_size
        self.heads, self.d_model = config.num_heads, config.d_model
        self.norm_first = config.norm_first
        self.embedding = model.target_embedding
        layers = cast("Sequence[DecoderLayer]", model.decoder.layers)
        self.layers = [_prepared(layer) for layer in layers]
        self.norm = norm_of(model.decoder.norm)
        self.output = linear(model.output)
        encoded, self.source_mask = fast_encode(model, source)
        self.source = [self._projected(layer.cross_attention, encoded) for layer in layers]
        self.length = 0
        room = min(FIRST_ROOM, config.max_length)
        empty = encoded.new_empty(
            2, self.batch * self.heads, room * beam_size, self.d_model // self.heads
        )
        self.past = [empty.clone() for _ in layers]  # keys, values: [2, batch·head, slot, d_k]
        self.ancestry = self._own_slots(room, empty)  # [batch, beam, slot]; see :meth:`follow`
        # The weights of the last position, a layer each: [batch·head, beam, key].
        self.own_weights: list[Tensor] = []
        self.cross_weights: list[Tensor] = []

    def _projected(self, attention: MultiHeadAttention, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """The source's keys and values, [batch·head, source, d_k] each."""
        keys, values = attention.project(encoded)
        return keys.flatten(0, 1).contiguous(), values.flatten(0, 1).contiguous()

    def _own_slots(self, positions: int, like: Tensor) -> Tensor:
        """What is added to scores where each hypothesis descends from itself."""
        others = like.new_full((self.beam, self.beam), torch.finfo(like.dtype).min)
        others.fill_diagonal_(0.0)
        return others.repeat(1, positions).expand(self.batch, -1, -1).contiguous()

    def logits(self, written: Tensor) -> Tensor:
        self._make_room()
        embedding = self.embedding
        tokens = F.embedding(written[..., -1].flatten(), embedding.tokens.weight)
        x = tokens * embedding.scale + embedding.positional_encoding(self.length, 1)
        self.own_weights, self.cross_weights = [], []
        for number, layer in enumerate(self.layers):
            past = partial(self._attend_to_past, layer, number)
            x = residual(x, past, layer.own_norm, self.norm_first)
            source = partial(self._attend_to_source, layer, number)
            x = residual(x, source, layer.cross_norm, self.norm_first)
            x = residual(x, layer.feed_forward, layer.feed_forward_norm, self.norm_first)
        self.length += 1
        return self.output(self.norm(x)).view(self.batch, self.beam, -1)

    def _attend_to_past(self, layer: _Layer, number: int, x: Tensor) -> Tensor:
        # [three, batch, head, beam, d_k]
        parts = layer.queries_keys_values(x).view(self.batch, self.beam, 3, self.heads, -1)
        parts = parts.permute(2, 0, 3, 1, 4)
        slots = self.length * self.beam
        past = self.past[number]
        past[:, :, slots : slots + self.beam].view(2, *parts.shape[1:]).copy_(parts[1:])
        keys, values = past[:, :, : slots + self.beam].unbind()
        mask = self.ancestry[:, :, : slots + self.beam] if self.beam > 1 else None
        mixed, weights = attend(parts[0], keys, values, mask)
        self.own_weights.append(weights)
        return layer.own_output(mixed)

    def _attend_to_source(self, layer: _Layer, number: int, x: Tensor) -> Tensor:
        queries = layer.queries(x).view(self.batch, self.beam, self.heads, -1)
        keys, values = self.source[number]
        mixed, weights = attend(queries.transpose(1, 2), keys, values, self.source_mask)
        self.cross_weights.append(weights)
        return layer.cross_output(mixed)

    def _make_room(self) -> None:
        used = self.length * self.beam
        if used < self.past[0].size(2):
            return
        more = self._own_slots(self.length, self.past[0])
        self.ancestry = torch.cat([self.ancestry, more], dim=2)
        self.past = [torch.cat([past, torch.empty_like(past)], dim=2) for past in self.past]

    def attention(self) -> tuple[Tensor, Tensor]:
        cross, own = torch.stack(self.cross_weights), torch.stack(self.own_weights)
        # Of the slots of a position all but the ancestor's weigh nothing.
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

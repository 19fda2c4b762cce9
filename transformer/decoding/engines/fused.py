"""The decoder of ``model.py`` for one position at a time, in as few operations as possible.

Beyond the savings of ``fused_layers``: keys and values are written into memory allocated in
advance; those of the source are computed once per sentence, for all its hypotheses; and a beam
moves no cache: each hypothesis keeps writing to its own slot, and a mask says which earlier slots
belong to its ancestors.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from transformer.decoding.engines.fused_cache import BatchCache, CacheView, SingleSentenceCache
from transformer.decoding.engines.fused_encoder import fast_encode
from transformer.decoding.engines.fused_layers import (
    attend,
    feed_forward,
    heads_of,
    linear,
    norm_of,
    residual,
    scale_of,
)
from transformer.model import DecoderLayer, Transformer

INITIAL_POSITIONS = 16
"""Number of positions allocated at first; doubled when they are used up."""


class _Layer:
    """One decoder layer, with the keys and values of the source.

    own_weights, cross_weights: of the last position, [batch·head, beam, key].
    """

    def __init__(
        self, layer: DecoderLayer, encoded: Tensor, cache: SingleSentenceCache | BatchCache
    ) -> None:
        own, cross = layer.self_attention, layer.cross_attention
        self.heads, scale = own.num_heads, scale_of(own)
        self.norm_first = layer.self_attention_residual.norm_first
        self.cache = cache
        self.project = linear(own.query, own.key, own.value, scale=scale)
        self.own_output = linear(own.output)
        self.own_norm = norm_of(layer.self_attention_residual.norm)
        self.cross_queries = linear(cross.query, scale=scale)
        keys, values = (part.flatten(0, 1).contiguous() for part in cross.project(encoded))
        self.source = keys.mT, values
        self.cross_output = linear(cross.output)
        self.cross_norm = norm_of(layer.cross_attention_residual.norm)
        self.feed_forward = feed_forward(layer.feed_forward)
        self.feed_forward_norm = norm_of(layer.feed_forward_residual.norm)
        self.own_weights = self.cross_weights = encoded.new_empty(0)

    def __call__(
        self, x: Tensor, view: CacheView, ancestry: Tensor | None, source_mask: Tensor | None
    ) -> Tensor:
        """Compute one new position: [rows, d_model] -> [rows, d_model]."""

        def self_attention(x: Tensor) -> Tensor:
            queries = self.cache.extend(self.project, x, view)
            mixed, self.own_weights = attend(queries, view.keys, view.values, self.heads, ancestry)
            return self.own_output(mixed)

        def cross_attention(x: Tensor) -> Tensor:
            keys, values = self.source
            queries = heads_of(self.cross_queries(x), len(keys), self.heads)
            mixed, self.cross_weights = attend(queries, keys, values, self.heads, source_mask)
            return self.cross_output(mixed)

        x = residual(x, self_attention, self.own_norm, self.norm_first)
        x = residual(x, cross_attention, self.cross_norm, self.norm_first)
        return residual(x, self.feed_forward, self.feed_forward_norm, self.norm_first)

    def keep_rows(self, rows: Tensor) -> None:
        """Drop all rows except these, by their number in [batch·head]."""
        keys, values = self.source
        self.source = keys.mT.index_select(0, rows).mT, values.index_select(0, rows)


class FastSteps:
    """:class:`BatchSteps` that run no module of the decoder and call no hook.

    Uses the model's current weights; those joined into one product are copied for each batch, since
    copies kept longer would double a large model and be stale in training. There are no gradients:
    run it in ``torch.inference_mode()``.

    Raises:
        ValueError: the output is longer than the model's positions.
    """

    def __init__(self, model: Transformer, source: Tensor, beam_size: int = 1) -> None:
        self.batch, self.beam = source.size(0), beam_size
        self.heads = model.config.num_heads
        self.embedding = model.target_embedding
        encoded, self.source_mask = fast_encode(model, source)
        self.device, self.dtype = encoded.device, encoded.dtype
        positions = min(INITIAL_POSITIONS, model.config.max_length)
        layers = cast("Sequence[DecoderLayer]", model.decoder.layers)
        kind = SingleSentenceCache if self.batch == 1 else BatchCache
        d_k = layers[0].self_attention.d_k
        self.cache = kind(len(layers), self.heads, d_k, positions * beam_size, encoded)
        self.layers = [_Layer(layer, encoded, self.cache) for layer in layers]
        self.first_norm = norm_of(model.decoder.embedding_norm)
        self.norm = norm_of(model.decoder.norm)
        self.output = linear(model.output)
        self.length = 0
        self.ancestry = self._own_slots(positions, encoded)  # [batch, beam, slot]; see `follow`

    def _own_slots(self, positions: int, like: Tensor) -> Tensor:
        """The mask, added to scores, under which each hypothesis sees only its own slots."""
        others = like.new_full((self.beam, self.beam), torch.finfo(like.dtype).min)
        others.fill_diagonal_(0.0)
        return others.repeat(1, positions).expand(self.batch, -1, -1).contiguous()

    def logits(self, written: Tensor) -> Tensor:
        return self.after(written[..., -1].flatten()).view(self.batch, self.beam, -1)

    def after(self, tokens: Tensor) -> Tensor:
        embedding = self.embedding
        position = embedding.positional_encoding(self.length, 1)
        x = torch.add(position, F.embedding(tokens, embedding.tokens.weight), alpha=embedding.scale)
        x = self.first_norm(x)
        used = self.length * self.beam
        ancestry = self._ancestry(used + self.beam)
        views = self.cache.views(used, self.beam)
        for layer, view in zip(self.layers, views, strict=True):
            x = layer(x, view, ancestry, self.source_mask)
        self.length += 1
        return self.output(self.norm(x))

    def _ancestry(self, slots: int) -> Tensor | None:
        """The mask for this many slots; None for a single hypothesis, which needs none."""
        if self.beam == 1:
            return None
        if slots > self.ancestry.size(2):
            more = self._own_slots(self.length, self.ancestry)
            self.ancestry = torch.cat([self.ancestry, more], dim=2)
        return self.ancestry[..., :slots]

    def attention(self) -> tuple[Tensor, Tensor]:
        cross = torch.stack([layer.cross_weights for layer in self.layers])
        own = torch.stack([layer.own_weights for layer in self.layers])
        # Among a position's slots, only the ancestor's has a weight above 0.
        own = own.unflatten(-1, (-1, self.beam)).sum(-1)
        shape = (len(self.layers), self.batch, self.heads, self.beam, -1)
        return cross.view(shape).permute(1, 3, 0, 2, 4), own.view(shape).permute(1, 3, 0, 2, 4)

    def follow(self, parents: Tensor) -> None:
        if self.beam == 1:
            return
        used = self.length * self.beam
        where = parents[..., None].expand(-1, -1, used)
        self.ancestry[..., :used] = self.ancestry[..., :used].gather(1, where)

    def keep_sentences(self, unfinished: Tensor) -> None:
        self.batch = int(unfinished.sum())
        rows = unfinished.repeat_interleave(self.heads).nonzero()[:, 0]
        self.cache.keep_rows(rows)
        for layer in self.layers:
            layer.keep_rows(rows)
        self.ancestry = self.ancestry[unfinished]
        if self.source_mask is not None:
            self.source_mask = self.source_mask[unfinished]

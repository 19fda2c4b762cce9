"""The encoder of ``model.py`` in as few operations as possible, for generation."""

from collections.abc import Sequence
from functools import partial
from typing import cast

from torch import Tensor

from transformer.decoding.engines.fused_layers import (
    Function,
    added_mask,
    attend,
    feed_forward,
    linear,
    norm_of,
    residual,
    scale_of,
)
from transformer.model import EncoderLayer, MultiHeadAttention, Transformer, padding_mask


def fast_encode(model: Transformer, source: Tensor) -> tuple[Tensor, Tensor | None]:
    """Ids [batch, source] -> [batch, source, d_model], and the mask for ``attend``.

    No hook is called, and no dropout applied.
    """
    embedding = model.source_embedding
    positions = embedding.positional_encoding(0, source.size(1))
    x = (embedding.tokens(source) * embedding.scale + positions).flatten(0, 1)
    mask = added_mask(padding_mask(source, model.config.pad_id)[:, 0], x)
    x = norm_of(model.encoder.embedding_norm)(x)
    norm_first = model.config.norms_first("encoder")
    for layer in cast("Sequence[EncoderLayer]", model.encoder.layers):
        attention = partial(_attention, *_prepared(layer.self_attention), len(source), mask)
        x = residual(x, attention, norm_of(layer.self_attention_residual.norm), norm_first)
        network = feed_forward(layer.feed_forward)
        x = residual(x, network, norm_of(layer.feed_forward_residual.norm), norm_first)
    return norm_of(model.encoder.norm)(x).unflatten(0, source.shape), mask


def _prepared(attention: MultiHeadAttention) -> tuple[int, int, Function, Function]:
    projections = (attention.query, attention.key, attention.value)
    return (
        attention.num_heads,
        attention.d_k,
        linear(*projections, scale=scale_of(attention)),
        linear(attention.output),
    )


def _attention(
    heads: int,
    d_k: int,
    project: Function,
    output: Function,
    batch: int,
    mask: Tensor | None,
    x: Tensor,
) -> Tensor:
    """Self-attention (section 3.2.2): [rows, d_model] -> [rows, d_model]"""
    parts = project(x).view(batch, -1, 3, heads, d_k)
    # [batch·head, source, d_k] each
    queries, keys, values = parts.permute(2, 0, 3, 1, 4).flatten(1, 2)
    return output(attend(queries, keys.mT, values, heads, mask)[0])

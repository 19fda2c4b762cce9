"""The model of ``model.py`` in fewer operations, for training: a forward pass with its gradient.

Rows are ordered by position, [position · batch, width], so that heads are views rather than
copies. Queries, keys and values of one input are one matrix product, with the division by √d_k in
its weights; a mask is added in the product of the scores, or left out where nothing is masked;
norms are PyTorch's own; dropout is applied in the addition to the residual. To understand the
model, read ``model.py``: the tests compare outputs and gradients with it.
"""

from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transformer.config import TransformerConfig
from transformer.decoding.engines.fused_layers import softmax
from transformer.dropout import Dropout
from transformer.hooks import HookPoint
from transformer.model import (
    Decoder,
    DecoderLayer,
    Embedding,
    Encoder,
    EncoderLayer,
    FeedForward,
    LayerNorm,
    MultiHeadAttention,
    ResidualConnection,
    Transformer,
)
from transformer.training.packing import Rows

PLAIN = {
    *(Transformer, Encoder, EncoderLayer, Decoder, DecoderLayer, MultiHeadAttention, FeedForward),
    *(Embedding, LayerNorm, ResidualConnection, Dropout, HookPoint),
    *(nn.Linear, nn.Embedding, nn.ModuleList, nn.Identity),
}
"""The classes of a model that computes what ``model.py`` says; a planted fault adds another."""
MASKED = torch.finfo(torch.bfloat16).min
"""Added to a masked score: the lowest number that both float32 and bfloat16 have.

If all scores of a row are masked, the weights are equal, as in ``model.py``, but gradients reach
the scores. Only an empty source of a model that adds no <eos> to it is such a row."""


Forward = Callable[[Tensor, Tensor], Tensor]
"""Ids of source and target to logits."""


class FastModel(nn.Module):
    """Calls a model in fewer operations, or as it is if it has hooks or planted faults."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    @property
    def config(self) -> TransformerConfig:
        return self.model.config

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """As the model's own: ids [batch, source], [batch, target] -> [batch, target, vocabulary].

        In memory, logits are ordered by position, [target, batch, vocabulary].
        """
        if not is_plain(self.model):
            return cast(Tensor, self.model(source, target))
        return self.plain(source, target)

    def plain(self, source: Tensor, target: Tensor) -> Tensor:
        """:meth:`forward` of a model that is known to be plain, without checking again."""
        logits = _logits(self.model, source, target, Rows(*source.shape), Rows(*target.shape))
        return logits.view(*target.t().shape, -1).transpose(0, 1)

    def packed(self, source: Tensor, target: Tensor, rows: tuple[Rows, Rows]) -> Tensor:
        """As :meth:`plain`, of the rows of source and target, one or both of which are packed.

        Returns:
            logits [row, vocabulary] of the target's rows
        """
        return _logits(self.model, source, target, *rows)


def is_plain(model: Transformer) -> bool:
    """Whether a model computes what ``model.py`` says, without hooks or planted faults."""
    return all(
        type(part) in PLAIN
        and not (part._forward_hooks or part._forward_pre_hooks)
        and not (part._backward_hooks or part._backward_pre_hooks)
        and not (type(part) is HookPoint and part.hooks)
        for part in model.modules()
    )


def _logits(
    model: Transformer, source: Tensor, target: Tensor, source_rows: Rows, target_rows: Rows
) -> Tensor:
    positions = target_rows.positions
    source_mask = _padding(source, model.config)
    x = _norm(model.encoder.embedding_norm, _embed(model.source_embedding, source, source_rows))
    for layer in cast("Iterable[EncoderLayer]", model.encoder.layers):
        x = _self_attention(
            layer.self_attention, layer.self_attention_residual, x, source_rows, source_mask
        )
        x = _feed_forward(layer.feed_forward, layer.feed_forward_residual, x)
    memory = _norm(model.encoder.norm, x)
    future = torch.full((positions, positions), MASKED, dtype=x.dtype, device=x.device).triu(1)
    x = _norm(model.decoder.embedding_norm, _embed(model.target_embedding, target, target_rows))
    for block in cast("Iterable[DecoderLayer]", model.decoder.layers):
        x = _self_attention(
            block.self_attention, block.self_attention_residual, x, target_rows, future
        )
        x = _cross_attention(
            block.cross_attention,
            block.cross_attention_residual,
            x,
            memory,
            (target_rows, source_rows),
            source_mask,
        )
        x = _feed_forward(block.feed_forward, block.feed_forward_residual, x)
    x = _norm(model.decoder.norm, x)
    return cast(Tensor, model.output(x))


def _padding(source: Tensor, config: TransformerConfig) -> Tensor | None:
    """Numbers to add to the scores of each source position, [batch · head, 1, source].

    None if no text is padded. On a graphics card that is not checked: reading the answer would wait
    for the card.
    """
    padded = source == config.pad_id
    if source.device.type == "cpu" and not padded.any():
        return None
    added = torch.zeros(padded.shape, device=source.device).masked_fill_(padded, MASKED)
    return added.repeat_interleave(config.num_heads, dim=0)[:, None]


def _embed(embedding: Embedding, ids: Tensor, rows: Rows) -> Tensor:
    """ids [batch, position] -> [row, d_model]"""
    positions = embedding.positional_encoding(0, ids.size(1))
    tokens = F.embedding(rows.of(ids), embedding.tokens.weight)
    x = torch.add(rows.spread(positions), tokens, alpha=embedding.scale)
    return cast(Tensor, embedding.dropout(x)).flatten(0, -2)


def _residual(
    connection: ResidualConnection, x: Tensor, sublayer: Callable[[Tensor], Tensor]
) -> Tensor:
    """x + Sublayer(LayerNorm(x)), or LayerNorm(x + Sublayer(x)) (section 3.1)."""
    y = sublayer(_norm(connection.norm, x) if connection.norm_first else x)
    kept = connection.dropout.kept(x)  # not of y, which can be bfloat16, as the factors would be
    x = x + y if kept is None else torch.addcmul(x, y, kept)
    return x if connection.norm_first else _norm(connection.norm, x)


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    if not isinstance(norm, LayerNorm):
        return x
    return torch.layer_norm(x, norm.gain.shape, norm.gain, norm.bias, norm.eps)


def _feed_forward(network: FeedForward, connection: ResidualConnection, x: Tensor) -> Tensor:
    activation = torch.relu_ if network.activation is torch.relu else network.activation
    return _residual(
        connection, x, lambda x: cast(Tensor, network.outer(activation(network.inner(x))))
    )


def _self_attention(
    attention: MultiHeadAttention,
    connection: ResidualConnection,
    x: Tensor,
    rows: Rows,
    mask: Tensor | None,
) -> Tensor:
    def sublayer(x: Tensor) -> Tensor:
        everything = attention.query, attention.key, attention.value
        queries, keys, values = _projected(attention, x, rows, *everything)
        return _attend(attention, queries, keys, values, mask, rows)

    return _residual(connection, x, sublayer)


def _cross_attention(
    attention: MultiHeadAttention,
    connection: ResidualConnection,
    x: Tensor,
    memory: Tensor,
    rows: tuple[Rows, Rows],
    mask: Tensor | None,
) -> Tensor:
    target_rows, source_rows = rows

    def sublayer(x: Tensor) -> Tensor:
        [queries] = _projected(attention, x, target_rows, attention.query)
        keys, values = _projected(attention, memory, source_rows, attention.key, attention.value)
        return _attend(attention, queries, keys, values, mask, target_rows)

    return _residual(connection, x, sublayer)


def _projected(
    attention: MultiHeadAttention, x: Tensor, rows: Rows, *parts: nn.Linear
) -> list[Tensor]:
    """Several projections in one product, each [batch · head, position, d_k].

    Queries are divided by √d_k.
    """
    heads, d_model = attention.num_heads, x.size(-1)
    weights, biases = [], []
    for part in parts:
        scale = attention.d_k**-0.5 if part is attention.query else 1.0
        weights.append(
            (part.weight * scale if scale != 1 else part.weight).view(heads, -1, d_model)
        )
        biases.append((part.bias * scale if scale != 1 else part.bias).view(heads, -1))
    weight = torch.stack(weights, dim=1).flatten(0, 2)
    bias = torch.stack(biases, dim=1).flatten()
    y = rows.pad(F.linear(x, weight, bias))
    y = y.view(rows.positions, rows.batch * heads, len(parts), -1)
    return [part.transpose(0, 1) for part in y.unbind(2)]


def _attend(
    attention: MultiHeadAttention,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    rows: Rows,
) -> Tensor:
    """Softmax(QKᵀ)V and its projection (section 3.2); inputs [batch · head, position, d_k].

    Args:
        rows: of the queries, and so of the result.
    """
    if mask is None:
        scores = torch.bmm(queries, keys.mT)
    else:
        scores = torch.baddbmm(mask.to(queries.dtype), queries, keys.mT)
    mixed = torch.bmm(softmax(scores), values)
    joined = mixed.transpose(0, 1).reshape(-1, attention.output.in_features)
    return cast(Tensor, attention.output(rows.pack(joined)))

"""Sub-layers in few operations, for the fast encoder and the fast decoder.

Queries, keys and values of one input come from one product, the query weights include the division
by √d_k, masks are added (and skipped if nothing is masked), and norms are PyTorch's own.
``model.py`` is the readable version, with which the tests compare this one.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transformer.model import FeedForward, LayerNorm, MultiHeadAttention

Function = Callable[[Tensor], Tensor]
"""From [rows, width] to [rows, width]."""
REGISTER = {"AVX512": 64, "AVX2": 32}.get(torch.backends.cpu.get_cpu_capability(), 0)
"""Bytes in one of the processor's vector registers."""
MANY_ROWS = 256
"""Fewest rows for which padding costs less than it saves."""
NAIVE = 400
"""PyTorch's batched product of matrices with fewer multiplications than this is a plain loop, which
is slow where it jumps from row to row: at the values."""
MANY_HEADS = 128
"""Fewest such products for which other operations are faster."""


class Product(Protocol):
    """A linear function, [rows, width] -> [rows, other width], written into ``out`` if given."""

    def __call__(self, x: Tensor, *, out: Tensor | None = None) -> Tensor: ...


def linear(*parts: nn.Linear, scale: float = 1.0) -> Product:
    """Join several projections of one input into one product; the first is scaled by ``scale``."""
    first, *others = parts
    if not isinstance(first, nn.Linear):  # an 8-bit layer does not expose its weights
        made: Product = first.product(others, scale)
        return made
    weight: Tensor = first.weight
    bias: Tensor = first.bias
    if others or scale != 1.0:
        weight = torch.cat([weight * scale, *(part.weight for part in others)])
        bias = torch.cat([bias * scale, *(part.bias for part in others)])
    # The operations that nn.Linear calls internally.
    if bias is None:
        return partial(torch.mm, mat2=weight.t())
    return partial(torch.addmm, bias, mat2=weight.t())


def norm_of(norm: nn.Module) -> Function:
    if not isinstance(norm, LayerNorm):
        return norm
    shape = tuple(norm.gain.shape)
    return partial(
        torch.layer_norm, normalized_shape=shape, weight=norm.gain, bias=norm.bias, eps=norm.eps
    )


def scale_of(attention: MultiHeadAttention) -> float:
    """1 / √d_k."""
    return float(attention.d_k**-0.5)


def residual(x: Tensor, sublayer: Function, norm: Function, norm_first: bool) -> Tensor:
    return x + sublayer(norm(x)) if norm_first else norm(x + sublayer(x))


def feed_forward(network: FeedForward) -> Function:
    """W₁, the activation, W₂ (section 3.3)."""
    inner, outer = linear(network.inner), linear(network.outer)
    activation = torch.relu_ if network.activation is torch.relu else network.activation
    return lambda x: outer(activation(inner(x)))


def heads_of(x: Tensor, rows: int, heads: int) -> Tensor:
    """[batch·query, head · d_k] -> [batch·head, query, d_k]; ``rows`` is batch·head."""
    if len(x) * heads == rows:  # one query per sentence: a view is enough
        return x.view(rows, 1, -1)
    return x.view(rows // heads, -1, heads, x.size(1) // heads).transpose(1, 2).flatten(0, 1)


def softmax(scores: Tensor) -> Tensor:
    """Softmax over the last axis.

    PyTorch computes a row shorter than a vector register number by number, which takes up to eight
    times as long as a full register. So many short rows are padded; padding gets a weight of 0.
    """
    length, lanes = scores.size(-1), REGISTER // scores.element_size()
    if length >= lanes or not scores.is_cpu or scores.numel() < MANY_ROWS * length:
        return torch.softmax(scores, dim=-1)
    padded = F.pad(scores, (0, lanes - length), value=-torch.inf)
    return torch.softmax(padded, dim=-1)[..., :length]


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, heads: int, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Softmax(QKᵀ)V, with queries already divided by √d_k (section 3.2.1).

    Args:
        queries: [batch·head, query, d_k]
        keys: [batch·head, d_k, key]; values: [batch·head, key, d_k]
        mask: added to the scores, [batch, query or 1, key].

    Returns:
        [batch·query, head · d_k] and the weights, [batch·head, query, key].
    """
    count, d_k = queries.shape[1:]
    scores = torch.bmm(queries, keys)
    if mask is not None:
        scores.view(-1, heads, count, keys.size(2)).add_(mask[:, None])
    weights = softmax(scores)
    if count == 1 and values[0].numel() < NAIVE and len(values) >= MANY_HEADS and values.is_cpu:
        return (values * weights.mT).sum(1).view(-1, heads * d_k), weights
    mixed = torch.bmm(weights, values)
    if count > 1:
        mixed = mixed.view(-1, heads, count, d_k).transpose(1, 2).contiguous()
    return mixed.view(-1, heads * d_k), weights


def added_mask(allowed: Tensor, like: Tensor) -> Tensor | None:
    """A mask to add to scores: 0 where attention is allowed; None if it is allowed everywhere."""
    if allowed.all():
        return None
    return like.new_zeros(allowed.shape).masked_fill(~allowed, torch.finfo(like.dtype).min)

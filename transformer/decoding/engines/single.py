"""The decoder of ``model.py`` for one hypothesis of one sentence, in NumPy.

One position takes many small operations. A call costs a third in NumPy of what it costs in
PyTorch, and a matrix-vector product, where a large model spends its time, half. The arrays share
the memory of the model's weights: nothing is copied, so nothing can be stale. Every function takes
one vector, [width]. ``model.py`` is the readable version, with which the tests compare this one.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transformer.decoding.engines.fused import INITIAL_POSITIONS
from transformer.decoding.engines.fused_encoder import fast_encode
from transformer.decoding.engines.fused_layers import scale_of
from transformer.model import (
    DecoderLayer,
    FeedForward,
    LayerNorm,
    MultiHeadAttention,
    ResidualConnection,
    Transformer,
)

Vector = NDArray[Any]
Function = Callable[[Vector], Vector]


def linear(layer: nn.Linear) -> Callable[..., Vector]:
    """xWᵀ + b, written into the array ``out`` if it is given."""
    weight = layer.weight.detach().numpy()
    if layer.bias is None:
        return weight.dot
    bias = layer.bias.detach().numpy()

    def apply(x: Vector, out: Vector | None = None) -> Vector:
        y = weight.dot(x, out)
        y += bias
        return y

    return apply


def norm_of(norm: nn.Module) -> Function:
    if not isinstance(norm, LayerNorm):
        return lambda x: x
    gain, bias, eps = norm.gain.detach().numpy(), norm.bias.detach().numpy(), norm.eps
    width = len(gain)
    mean = np.full(width, 1 / width, gain.dtype)  # a dot product is the fastest sum

    def apply(x: Vector) -> Vector:
        y = x - x.dot(mean)
        variance = y.dot(y) / width + eps
        # For one number, Python's root takes a tenth of NumPy's time, but 1 / 0 raises an error.
        y *= 1 / math.sqrt(variance) if variance > 0 else np.inf
        y *= gain
        y += bias
        return y

    return apply


def feed_forward(network: FeedForward) -> Function:
    """W₁, the activation, W₂ (section 3.3)."""
    inner, outer, activation = linear(network.inner), linear(network.outer), network.activation
    if activation is torch.relu:
        return lambda x: outer(np.maximum(inner(x), 0))
    return lambda x: outer(activation(torch.from_numpy(inner(x))).numpy())


def residual(connection: ResidualConnection, sublayer: Function) -> Function:
    norm = norm_of(connection.norm)
    if connection.norm_first:
        return lambda x: x + sublayer(norm(x))
    return lambda x: norm(x + sublayer(x))


class Attention:
    """Multi-head attention over stored keys and values (section 3.2.2).

    keys, values: [slot, head · d_k].
    weights: of the last query, [head, 1, slot].
    """

    def __init__(self, attention: MultiHeadAttention, mask: Vector | None = None) -> None:
        self.heads, self.scale, self.mask = attention.num_heads, scale_of(attention), mask
        self.query, self.output = linear(attention.query), linear(attention.output)
        self.by_head = (self.heads, 1, attention.d_k)
        self.weights = np.empty(0)

    def hold(self, keys: Vector, values: Vector) -> None:
        self.keys, self.values = keys, values
        # Views of the same memory, split by head: [head, d_k, slot] and [head, slot, d_k].
        self.keys_by_head = keys.reshape(len(keys), self.heads, -1).transpose(1, 2, 0)
        self.values_by_head = values.reshape(len(keys), self.heads, -1).transpose(1, 0, 2)

    def __call__(self, x: Vector, slots: int) -> Vector:
        """The output of attention from x over the first ``slots`` keys: [d_model] -> [d_model]."""
        queries = self.query(x)
        queries *= self.scale
        scores = queries.reshape(self.by_head) @ self.keys_by_head[:, :, :slots]
        if self.mask is not None:
            scores += self.mask
        scores -= np.maximum.reduce(scores, axis=2, keepdims=True)
        weights = np.exp(scores, scores)
        weights /= np.add.reduce(weights, axis=2, keepdims=True)
        self.weights = weights
        return self.output((weights @ self.values_by_head[:, :slots]).reshape(-1))


class Layer:
    """One decoder layer, with the keys and values of its two attentions."""

    def __init__(
        self, layer: DecoderLayer, encoded: Tensor, source_mask: Vector | None, positions: int
    ) -> None:
        own, cross = layer.self_attention, layer.cross_attention
        self.own, self.cross = Attention(own), Attention(cross, source_mask)
        self.key, self.value = linear(own.key), linear(own.value)
        self.own.hold(*np.empty((2, positions, own.num_heads * own.d_k), encoded.numpy().dtype))
        self.cross.hold(cross.key(encoded).numpy(), cross.value(encoded).numpy())
        self.written, self.source = 0, len(encoded)
        self.parts = (
            residual(layer.self_attention_residual, self.self_attention),
            residual(layer.cross_attention_residual, self.cross_attention),
            residual(layer.feed_forward_residual, feed_forward(layer.feed_forward)),
        )

    def self_attention(self, x: Vector) -> Vector:
        """Attention over all earlier positions and this one, whose key and value it stores."""
        keys, values = self.own.keys, self.own.values
        place = self.written
        if place == len(keys):
            self.own.hold(*(np.concatenate([past, np.empty_like(past)]) for past in (keys, values)))
            keys, values = self.own.keys, self.own.values
        self.key(x, keys[place])
        self.value(x, values[place])
        self.written += 1
        return self.own(x, self.written)

    def cross_attention(self, x: Vector) -> Vector:
        return self.cross(x, self.source)


class NumpySteps:
    """A :class:`StepDecoder` for one sentence with one hypothesis.

    Like :class:`FastSteps`, it runs no module of the decoder and calls no hook.

    Raises:
        ValueError: the output is longer than the model's positions.
    """

    def __init__(self, model: Transformer, source: Tensor) -> None:
        embedding = model.target_embedding
        self.tokens, self.scale = embedding.tokens.weight.detach().numpy(), embedding.scale
        self.positions = embedding.positions.detach().numpy()
        self.first_norm = norm_of(model.decoder.embedding_norm)
        encoded, mask = fast_encode(model, source)
        source_mask = None if mask is None else mask.numpy()  # [1, 1, source]
        positions = min(INITIAL_POSITIONS, model.config.max_length)
        layers = cast("Sequence[DecoderLayer]", model.decoder.layers)
        self.layers = [Layer(layer, encoded[0], source_mask, positions) for layer in layers]
        self.parts = [part for layer in self.layers for part in layer.parts]
        self.norm, self.output = norm_of(model.decoder.norm), linear(model.output)
        self.length = 0

    @staticmethod
    def takes(model: Transformer, source: Tensor, beam_size: int) -> bool:
        """Whether this is a single hypothesis, of a model whose weights NumPy can read."""
        return (
            len(source) == beam_size == 1
            and source.device.type == "cpu"
            and model.dtype in (torch.float32, torch.float64)
            and isinstance(model.output, nn.Linear)
        )

    def logits(self, written: Tensor) -> Tensor:
        found = self.after(written.numpy()[0, 0, -1])
        return torch.from_numpy(found.reshape(1, 1, -1))

    def after(self, token: int) -> Vector:
        """Append a token; the logits of the next one, [vocabulary]."""
        if self.length == len(self.positions):
            raise ValueError(f"This model has {self.length} positions; one more is needed.")
        x = self.tokens[token] * self.scale + self.positions[self.length]
        with np.errstate(all="ignore"):  # an overflow is detected in the logits
            x = self.first_norm(x)
            for part in self.parts:
                x = part(x)
            found: Vector = self.output(self.norm(x))
        self.length += 1
        return found

    def attention(self) -> tuple[Tensor, Tensor]:
        cross = torch.from_numpy(np.stack([layer.cross.weights for layer in self.layers]))
        own = torch.from_numpy(np.stack([layer.own.weights for layer in self.layers]))
        # [layer, head, 1, key] -> [1, 1, layer, head, key]
        return cross[None].movedim(3, 1), own[None].movedim(3, 1)

    def follow(self, parents: Tensor) -> None:
        """Nothing to do: a single hypothesis is its own parent."""

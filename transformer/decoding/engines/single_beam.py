"""The decoder of ``model.py`` for a beam of one sentence, mostly in NumPy.

Does for a beam what :mod:`single` does for one hypothesis. The hypotheses are the columns of a
matrix, [width, beam]: the weights are used as stored, [outputs, inputs], in products that take two
thirds of the time of PyTorch's, and heads are views. As in :mod:`fused`, a beam moves no cache.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transformer.decoding.engines.fused import INITIAL_POSITIONS
from transformer.decoding.engines.fused_encoder import fast_encode
from transformer.decoding.engines.fused_layers import norm_of, scale_of
from transformer.model import DecoderLayer, FeedForward, MultiHeadAttention, Transformer

Matrix = NDArray[Any]
Function = Callable[[Matrix], Matrix]
"""From [width, beam] to [other width, beam]."""
WIDE = 512
"""From this d_model on, PyTorch's products are faster than NumPy's if the CPU has AVX-512."""


def linear(layer: nn.Linear, beam: int) -> Function:
    """Wx + b"""
    weight = layer.weight.detach().numpy()
    if layer.bias is None:
        return weight.dot
    # Repeated for each column: broadcasting one column takes five times as long.
    bias = np.repeat(layer.bias.detach().numpy()[:, None], beam, axis=1)

    def apply(x: Matrix) -> Matrix:
        y: Matrix = weight.dot(x)
        y += bias
        return y

    return apply


def feed_forward(network: FeedForward, beam: int) -> Function:
    """W₁, the activation, W₂ (section 3.3)."""
    inner, outer = linear(network.inner, beam), linear(network.outer, beam)
    activation = network.activation
    return lambda x: outer(activation(torch.from_numpy(inner(x))).numpy())


class Attention:
    """Multi-head attention (section 3.2.2) over keys and values, [head · d_k, slot] each.

    weights: of the last queries, [head, beam, slot].
    """

    def __init__(self, attention: MultiHeadAttention, beam: int) -> None:
        self.scale = scale_of(attention)
        self.query, self.output = linear(attention.query, beam), linear(attention.output, beam)
        self.by_head = (attention.num_heads, attention.d_k, -1)
        self.weights = np.empty(0)

    def __call__(self, x: Matrix, keys: Matrix, values: Matrix, mask: Matrix | None) -> Matrix:
        """Attention from each column of x, [d_model, beam]; the mask, [beam, slot], is added."""
        queries = self.query(x)
        queries *= self.scale
        scores = queries.reshape(self.by_head).transpose(0, 2, 1) @ keys.reshape(self.by_head)
        if mask is not None:
            scores += mask
        self.weights = torch.softmax(torch.from_numpy(scores), dim=-1).numpy()
        mixed = values.reshape(self.by_head) @ self.weights.transpose(0, 2, 1)
        return self.output(mixed.reshape(-1, x.shape[1]))


class Layer:
    """One decoder layer, with the keys and values of its two attentions.

    past, source: keys and values of self- and cross-attention, [two, head · d_k, slot].
    """

    def __init__(self, layer: DecoderLayer, encoded: Tensor, beam: int) -> None:
        own, cross = layer.self_attention, layer.cross_attention
        self.own, self.cross = Attention(own, beam), Attention(cross, beam)
        self.key, self.value = linear(own.key, beam), linear(own.value, beam)
        held = [part(encoded).numpy().T for part in (cross.key, cross.value)]
        self.source = np.ascontiguousarray(np.stack(held))
        shape = (2, own.num_heads * own.d_k, INITIAL_POSITIONS * beam)
        self.past = np.empty(shape, self.source.dtype)
        self.feed_forward = feed_forward(layer.feed_forward, beam)
        connections = (
            layer.self_attention_residual,
            layer.cross_attention_residual,
            layer.feed_forward_residual,
        )
        self.norm_first = connections[0].norm_first
        self.norms = [norm_of(connection.norm) for connection in connections]

    def __call__(
        self, x: Matrix, used: int, ancestry: Matrix, source_mask: Matrix | None
    ) -> Matrix:
        """Compute one new position, [beam, width] -> [beam, width], after ``used`` slots."""

        def self_attention(x: Matrix) -> Matrix:
            count = used + x.shape[1]
            if count > self.past.shape[2]:
                self.past = np.concatenate([self.past, np.empty_like(self.past)], axis=2)
            keys, values = self.past[:, :, :count]
            keys[:, used:], values[:, used:] = self.key(x), self.value(x)
            return self.own(x, keys, values, ancestry)

        def cross_attention(x: Matrix) -> Matrix:
            keys, values = self.source
            return self.cross(x, keys, values, source_mask)

        sublayers = (self_attention, cross_attention, self.feed_forward)
        for sublayer, norm in zip(sublayers, self.norms, strict=True):
            if self.norm_first:
                x = x + sublayer(norm(torch.from_numpy(x)).numpy().T).T
            else:
                x = norm(torch.from_numpy(x + sublayer(x.T).T)).numpy()
        return x


class BeamSteps:
    """:class:`BatchSteps` for one sentence with two or more hypotheses.

    Like :class:`FastSteps`, it runs no module of the decoder and calls no hook.

    Raises:
        ValueError: the output is longer than the model's positions.
    """

    batch = 1
    device = torch.device("cpu")

    def __init__(self, model: Transformer, source: Tensor, beam_size: int) -> None:
        self.beam, self.dtype = beam_size, model.dtype
        embedding = model.target_embedding
        self.tokens, self.scale = embedding.tokens.weight.detach().numpy(), embedding.scale
        self.positions = embedding.positions.detach().numpy()
        self.first_norm = norm_of(model.decoder.embedding_norm)
        encoded, mask = fast_encode(model, source)
        self.source_mask = None if mask is None else mask[0].numpy()  # [1, source]
        layers = cast("Sequence[DecoderLayer]", model.decoder.layers)
        self.layers = [Layer(layer, encoded[0], beam_size) for layer in layers]
        self.norm, self.output = norm_of(model.decoder.norm), linear(model.output, beam_size)
        self.length = 0
        self.ancestry = self._own_slots(INITIAL_POSITIONS)  # [beam, slot]

    @staticmethod
    def takes(model: Transformer, source: Tensor, beam_size: int) -> bool:
        """Whether this is the beam of one sentence, and NumPy can read and speed up the model."""
        wide = model.config.d_model >= WIDE
        return (
            len(source) == 1
            and beam_size > 1
            and not (wide and torch.backends.cpu.get_cpu_capability() == "AVX512")
            and source.device.type == "cpu"
            and model.dtype in (torch.float32, torch.float64)
            and isinstance(model.output, nn.Linear)
        )

    def _own_slots(self, positions: int) -> Matrix:
        """The mask, added to scores, under which each hypothesis sees only its own slots."""
        lowest = torch.finfo(self.dtype).min
        others = np.full((self.beam, self.beam), lowest, self.tokens.dtype)
        np.fill_diagonal(others, 0.0)
        return np.tile(others, positions)

    def logits(self, written: Tensor) -> Tensor:
        return self.after(written[0, :, -1])[None]

    def after(self, tokens: Tensor) -> Tensor:
        if self.length == len(self.positions):
            raise ValueError(f"This model has {self.length} positions; one more is needed.")
        used = self.length * self.beam
        if used == self.ancestry.shape[1]:
            more = self._own_slots(self.length)
            self.ancestry = np.concatenate([self.ancestry, more], axis=1)
        ancestry = self.ancestry[:, : used + self.beam]
        x = self.tokens[tokens.numpy()] * self.scale + self.positions[self.length]
        with np.errstate(all="ignore"):  # an overflow is detected in the logits
            x = self.first_norm(torch.from_numpy(x)).numpy()
            for layer in self.layers:
                x = layer(x, used, ancestry, self.source_mask)
            found = self.output(self.norm(torch.from_numpy(x)).numpy().T)
        self.length += 1
        return torch.from_numpy(found.T).contiguous()

    def attention(self) -> tuple[Tensor, Tensor]:
        cross = np.stack([layer.cross.weights for layer in self.layers])
        own = np.stack([layer.own.weights for layer in self.layers])
        # Among a position's slots, only the ancestor's has a weight above 0.
        own = own.reshape(*own.shape[:3], -1, self.beam).sum(-1)
        # [layer, head, beam, key] -> [1, beam, layer, head, key]
        return torch.from_numpy(cross)[None].movedim(3, 1), torch.from_numpy(own)[None].movedim(
            3, 1
        )

    def follow(self, parents: Tensor) -> None:
        used = self.length * self.beam
        self.ancestry[:, :used] = self.ancestry[parents[0].numpy(), :used]

    def keep_sentences(self, unfinished: Tensor) -> None:
        """Nothing to drop: only called while the single sentence is unfinished."""

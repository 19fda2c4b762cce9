"""A second implementation of the paper's formulas, in NumPy and float64, to check the model.

It shares no code with ``transformer.model``: it reads a checkpoint's tensors by name and computes
one sentence, head by head, without batches, caches or padding.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer.config import TransformerConfig

Floats = NDArray[np.float64]


class Reference:
    """A model computed by the paper's formulas.

    Args:
        tensors: the parameters by name, as in ``Checkpoint.tensors``.
    """

    def __init__(self, config: TransformerConfig, tensors: Mapping[str, ArrayLike]) -> None:
        self.config = config
        self.tensors = tensors

    def attention(self, source: list[int], read: list[int]) -> dict[str, Floats]:
        """All attention weights for one sentence.

        Args:
            source, read: input ids of the encoder and of the decoder.

        Returns:
            "encoder", "decoder", "cross": [layer, head, query, key] each.
        """
        found: dict[str, list[Floats]] = {"encoder": [], "decoder": [], "cross": []}
        x = self._enter("encoder", self._embed("source", source))
        for layer in range(self.config.num_encoder_layers):
            at = f"encoder.layers.{layer}"
            x = self._attend(x, None, f"{at}.self_attention", found["encoder"])
            x = self._feed_forward(x, f"{at}.feed_forward")
        memory = self._norm(x, "encoder.norm") if self.config.norm_after("encoder") else x
        x = self._enter("decoder", self._embed("target", read))
        for layer in range(self.config.num_decoder_layers):
            at = f"decoder.layers.{layer}"
            x = self._attend(x, None, f"{at}.self_attention", found["decoder"], causal=True)
            x = self._attend(x, memory, f"{at}.cross_attention", found["cross"])
            x = self._feed_forward(x, f"{at}.feed_forward")
        return {kind: np.stack(layers) for kind, layers in found.items()}

    def _number(self, name: str) -> Floats:
        """A tensor in float64. Not cached: the whole model would take twice its memory."""
        return np.asarray(self.tensors[name], np.float64)

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self._number(f"{name}.weight").T + self._number(f"{name}.bias")

    def _norm(self, x: Floats, name: str) -> Floats:
        deviation = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((deviation**2).mean(axis=-1, keepdims=True) + self.config.layer_norm_eps)
        return deviation / scale * self._number(f"{name}.gain") + self._number(f"{name}.bias")

    def _enter(self, stack: str, x: Floats) -> Floats:
        return self._norm(x, f"{stack}.embedding_norm") if self.config.embedding_norm else x

    def _embed(self, side: str, ids: list[int]) -> Floats:
        d_model = self.config.d_model
        table = self.tensors.get(f"{side}_embedding.tokens.weight")
        if table is None:  # shared embeddings are stored under the source's name
            table = self.tensors["source_embedding.tokens.weight"]
        rows = np.asarray(np.asarray(table)[ids], np.float64)
        vectors = rows * (math.sqrt(d_model) if self.config.scale_embeddings else 1.0)
        if self.config.position_layout == "learned":
            return vectors + self._number(f"{side}_embedding.positions")[: len(ids)]
        if self.config.position_layout == "none":
            return vectors
        angles = np.arange(len(ids))[:, None] / 10000 ** (np.arange(0, d_model, 2) / d_model)
        positions = np.empty((len(ids), d_model))
        if self.config.position_layout == "interleaved":
            positions[:, 0::2], positions[:, 1::2] = np.sin(angles), np.cos(angles)
        else:
            half = d_model // 2
            positions[:, :half], positions[:, half:] = np.sin(angles), np.cos(angles)
        return vectors + positions

    def _attend(
        self,
        x: Floats,
        memory: Floats | None,
        name: str,
        found: list[Floats],
        causal: bool = False,
    ) -> Floats:
        """An attention sub-layer with its residual connection; appends its weights to ``found``."""
        asks = self._norm(x, f"{name}_residual.norm") if self._norms_first(name) else x
        asked = asks if memory is None else memory
        queries, keys, values = (
            self._linear(part, f"{name}.{role}")
            for part, role in ((asks, "query"), (asked, "key"), (asked, "value"))
        )
        d_k = self.config.d_k
        weights, outputs = [], []
        for head in range(self.config.num_heads):
            own = slice(head * d_k, (head + 1) * d_k)
            scores = queries[:, own] @ keys[:, own].T / math.sqrt(d_k)
            if causal:
                scores[np.triu_indices(len(scores), 1)] = -np.inf
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights.append(powers / powers.sum(axis=1, keepdims=True))
            outputs.append(weights[-1] @ values[:, own])
        found.append(np.stack(weights))
        return self._add(x, self._linear(np.concatenate(outputs, axis=1), f"{name}.output"), name)

    def _feed_forward(self, x: Floats, name: str) -> Floats:
        inside = self._norm(x, f"{name}_residual.norm") if self._norms_first(name) else x
        inside = self._activate(self._linear(inside, f"{name}.inner"))
        return self._add(x, self._linear(inside, f"{name}.outer"), name)

    def _add(self, x: Floats, written: Floats, name: str) -> Floats:
        total = x + written
        return total if self._norms_first(name) else self._norm(total, f"{name}_residual.norm")

    def _norms_first(self, name: str) -> bool:
        return self.config.norms_first(name.partition(".")[0])

    def _activate(self, x: Floats) -> Floats:
        if self.config.activation == "relu":
            return np.maximum(x, 0)
        if self.config.activation == "swish":
            return x / (1 + np.exp(-x))
        return x * (1 + _erf(x / math.sqrt(2))) / 2


_erf = np.vectorize(math.erf, otypes=[np.float64])

"""How one attention weight is computed, step by step, with the model's own numbers."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer.analysis.heads import Head
from transformer.hooks import record
from transformer.model import MultiHeadAttention, Transformer

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class OneWeight:
    """One head at one query: every quantity from its vectors to its output.

    row: index of the query. query: its vector, [d_k]; keys, values: [key, d_k].
    products: query · key before the division by √d_k, [key]; scores: after it, [key].
    allowed: False where the mask forbids attention, [key].
    weights: the softmax, [key].
    output: Σ weight · value, [d_k].
    written: output times this head's rows of W^O, [d_model]: its contribution to the residual
        stream, without the bias of W^O, which all heads share.
    stream: the residual stream to which it is added (before a post-norm), [d_model].
    queries: of all positions, to be drawn together with the keys, [query, d_k].
    """

    head: Head
    row: int
    query: Floats
    keys: Floats
    values: Floats
    products: Floats
    scores: Floats
    allowed: NDArray[np.bool_]
    weights: Floats
    output: Floats
    written: Floats
    stream: Floats
    queries: Floats

    @property
    def sqrt_d_k(self) -> float:
        return math.sqrt(len(self.query))


@torch.inference_mode()
def one_weight(model: Transformer, source: Tensor, read: Tensor, head: Head, row: int) -> OneWeight:
    """Run the model once and keep one head's quantities at one query.

    Args:
        source, read: ids, [1, source] and [1, target].

    Raises:
        KeyError, IndexError: there is no such head or row.
    """
    names = ("queries", "keys", "values", "scores", "weights", "head_outputs")
    points = [head.point(name) for name in names]
    path = head.point("").removesuffix(".")
    before = f"{path}_residual.before"
    with record(model, [*points, before]) as trace:
        model(source, read)
    queries, keys, values, scores, weights, outputs = (
        trace[point][0, head.head] for point in points
    )
    attention = model.get_submodule(path)
    assert isinstance(attention, MultiHeadAttention)
    d_k = queries.size(-1)
    own = slice(head.head * d_k, (head.head + 1) * d_k)
    written = attention.output.weight[:, own] @ outputs[row]
    allowed = np.ones(keys.size(0), dtype=bool)
    if head.kind == "decoder":
        allowed[row + 1 :] = False
    return OneWeight(
        head,
        row,
        queries[row].numpy(),
        keys.numpy(),
        values.numpy(),
        (keys @ queries[row]).numpy(),
        scores[row].numpy(),
        allowed,
        weights[row].numpy(),
        outputs[row].numpy(),
        written.numpy(),
        trace[before][0, row].numpy(),
        queries.numpy(),
    )

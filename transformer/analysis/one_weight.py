"""How one attention weight comes about, with the numbers the model really computed."""

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
    """One head at one query: every quantity between its vectors and what it writes.

    query: [d_k]; keys, values: [key, d_k].
    products: query · key before the division by √d_k, [key]; scores: after it, [key].
    allowed: False where the mask forbids, [key].
    weights: the softmax, [key].
    output: Σ weight · value, [d_k].
    written: output · W^O of this head, what goes into the residual stream, [d_model]; the bias
        of W^O, which all heads share, is not in it.
    stream: the residual stream it is added to (before a norm after it), [d_model].
    queries: of all positions, for a joint picture with the keys, [query, d_k].
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
    """Run the model once and keep what one head computed at one query.

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

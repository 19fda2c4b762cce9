"""What the model would have written with another input, or with heads that look elsewhere.

Masking a token replaces it by the padding id: the padding mask then hides it from every attention
in encoder and decoder, and all other tokens keep their positions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer.analysis.first_error import first_mismatch
from transformer.decoding.strategies import Greedy
from transformer.hooks import ablate
from transformer.model import Transformer


@dataclass(frozen=True)
class Forced:
    """Cross-attention heads of one layer, forced to put all their weight on one source token.

    heads: None takes all heads of the layer. place: index of the source token.
    position: index of the output token for which they do so, from 0; None for every one.
    """

    layer: int
    heads: tuple[int, ...] | None
    place: int
    position: int | None = None


@dataclass(frozen=True)
class ScoredOutput:
    """An output, and the probability of each of its tokens when the model wrote it."""

    tokens: tuple[int, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class WhatIf:
    """The outputs without and with a change.

    parts_at: the first position at which they differ; None if they are the same.
    kept: the probability, with the change, of each token of ``before``, given the same prefix:
        [position].
    preferred: ids of the most probable tokens, with the change, at the same positions.
    """

    before: ScoredOutput
    after: ScoredOutput
    parts_at: int | None
    kept: NDArray[np.float32]
    preferred: tuple[int, ...]


def masked(model: Transformer, source: Tensor, place: int) -> Tensor:
    """The source with one token hidden from every attention: ids, [1, source]."""
    return replaced_token(source, place, model.config.pad_id)


def replaced_token(source: Tensor, place: int, token: int) -> Tensor:
    """The source with another token at one place: ids, [1, source]."""
    changed = source.clone()
    changed[:, place] = token
    return changed


@torch.inference_mode()
def most_alike(model: Transformer, token: int, count: int) -> list[int]:
    """The source tokens with the highest cosine similarity of embeddings, most similar first.

    Args:
        token: the id to compare with; it is not in the result.
        count: number of tokens; fewer if the vocabulary has no more.
    """
    vectors = model.source_embedding.tokens.weight  # [vocabulary, d_model]
    lengths = torch.linalg.vector_norm(vectors, dim=1).clamp_min(1e-12)
    cosines = vectors @ vectors[token] / lengths
    cosines[token] = -torch.inf
    return cosines.topk(min(count, len(vectors) - 1)).indices.tolist()


@contextmanager
def forced(model: Transformer, force: Forced) -> Iterator[None]:
    """Until the block ends, some cross-attention heads look at a single source token.

    The model must compute all positions at every call: with a cache, the hook would get one
    position at a time and not know which.

    Raises:
        KeyError, IndexError: there is no such layer, head or source token.
    """
    heads = range(model.config.num_heads) if force.heads is None else force.heads

    def look_there(weights: Tensor) -> Tensor:
        """Make weights, [batch, head, query, key], one-hot: those of all queries, or of one."""
        if force.position is not None and force.position >= weights.size(2):
            return weights  # the output has not reached that position yet
        rows = slice(None) if force.position is None else force.position
        weights = weights.clone()
        weights[:, :, rows] = 0.0
        weights[:, :, rows, force.place] = 1.0
        return weights

    if not 0 <= min(heads) <= max(heads) < model.config.num_heads:
        raise IndexError(f"the heads are 0 to {model.config.num_heads - 1}")
    point = f"decoder.layers.{force.layer}.cross_attention.weights"
    with ablate(model, point, list(heads), look_there):
        yield


@torch.inference_mode()
def what_if(
    model: Transformer,
    source: Tensor,
    *,
    changed: Tensor | None = None,
    force: Forced | None = None,
    prefix: Sequence[int] = (),
    max_length: int | None = None,
) -> WhatIf:
    """Decode one input greedily without and with a change.

    Args:
        source: ids, [1, source].
        changed: ids that the changed model reads instead, [1, source].
        force: heads that look elsewhere in the changed model.
        prefix: ids that both outputs start with.
        max_length: most tokens of an output.
    """
    other = source if changed is None else changed
    strategy = Greedy(prefix=tuple(prefix), max_length=max_length, cached=False)

    def write(ids: Tensor) -> ScoredOutput:
        steps = list(strategy(model, ids))
        tokens = steps[-1].tokens[0, 0].tolist()
        return ScoredOutput(
            tuple(tokens),
            tuple(
                float(step.log_probs[0, 0, token].exp())
                for step, token in zip(steps, tokens, strict=True)
            ),
        )

    before = write(source)
    read = torch.tensor([[model.config.decoder_start_id, *before.tokens[:-1]]])
    with _in_force(model, force):
        after = write(other)
        probabilities = torch.softmax(model(other, read)[0], dim=-1)  # [position, vocabulary]
    kept = probabilities[range(len(before.tokens)), list(before.tokens)]
    preferred = tuple(probabilities.argmax(dim=-1).tolist())
    return WhatIf(
        before, after, first_mismatch(before.tokens, after.tokens), kept.numpy(), preferred
    )


@contextmanager
def _in_force(model: Transformer, force: Forced | None) -> Iterator[None]:
    if force is None:
        yield
        return
    with forced(model, force):
        yield

"""Teacher forcing: a known target computed in one pass and token by token, which must agree.

A decoder with a causal mask computes all positions of a known target at once, as in training.
Given the true tokens one at a time, with the cache, it must give the same log-probabilities.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from transformer.decoding.strategies import Greedy
from transformer.model import Transformer


@torch.inference_mode()
def whole_target(model: Transformer, source: Tensor, target: Sequence[int]) -> Tensor:
    """Log-probabilities at every position, from one pass over the true target.

    Args:
        source: ids, [1, source].
        target: ids with their <eos>.

    Returns:
        [position, vocabulary]
    """
    read = source.new_tensor([[model.config.decoder_start_id, *target[:-1]]])
    return torch.log_softmax(model(source, read)[0], dim=-1)


def true_tokens(model: Transformer, source: Tensor, target: Sequence[int]) -> Tensor:
    """Like :func:`whole_target`, one position at a time, each given the true tokens before it."""
    strategy = Greedy(prefix=tuple(target), max_length=len(target))
    steps = strategy(model, source)
    return torch.stack([step.log_probs[0, 0] for step in steps])

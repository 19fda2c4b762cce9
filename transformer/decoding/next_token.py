"""From logits to the next token: temperature, top-k, top-p, softmax, and a draw.

Every intermediate value is kept, so that a page can show it. The ``decoding_steps`` widget
computes the same in the browser; a test checks that both agree.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.config import SamplingConfig

PLAIN = SamplingConfig()
"""Temperature 1 and no cut: the model's own probabilities."""


@dataclass(frozen=True)
class NextToken:
    """The intermediate values of choosing one token: [..., vocabulary], 64-bit floats.

    logits: the model's own.
    divided: logits divided by the temperature.
    rank: 0 for the highest logit; of equal logits, the lower token id ranks first.
    in_top_k: whether top-k keeps the token.
    before: total probability, after top-k, of the tokens that rank higher; top-p compares it
        with p.
    kept: whether both top-k and top-p keep the token; always True for the highest logit.
    probabilities: softmax over the kept tokens; 0 for the others.
    """

    logits: Tensor
    divided: Tensor
    rank: Tensor
    in_top_k: Tensor
    before: Tensor
    kept: Tensor
    probabilities: Tensor


def next_token(logits: Tensor, sampling: SamplingConfig = PLAIN) -> NextToken:
    """Apply temperature, top-k and top-p to logits, in this order.

    Args:
        logits: [..., vocabulary]. Log-probabilities also work: they differ from logits by a
            constant, which softmax cancels.
    """
    logits = logits.double()
    divided = logits / sampling.temperature
    order = divided.sort(dim=-1, descending=True, stable=True).indices
    rank = order.argsort(dim=-1)
    in_top_k = rank < (sampling.top_k or logits.size(-1))
    shares = _softmax(divided, in_top_k)
    ordered = shares.gather(-1, order)
    before = (ordered.cumsum(dim=-1) - ordered).gather(-1, rank)
    kept = in_top_k
    if sampling.top_p < 1:  # at 1, a sum that rounds up to 1 early would cut the last tokens
        # The smallest set that reaches p: a token is in it if the tokens before it sum to less.
        kept = kept & ((before < sampling.top_p) | (rank == 0))
    return NextToken(logits, divided, rank, in_top_k, before, kept, _softmax(divided, kept))


def _softmax(values: Tensor, kept: Tensor) -> Tensor:
    """Softmax over the kept values; 0 for the others."""
    return values.masked_fill(~kept, -torch.inf).softmax(dim=-1)


def draw(found: NextToken, uniform: Tensor) -> Tensor:
    """Choose tokens by inverse transform sampling: uniform numbers in [0, 1), [...] -> ids [...].

    The kept tokens divide [0, 1) among them, the most probable first, each with an interval as
    long as its probability; the number selects the interval it falls into. In this order, a
    small change of the temperature seldom changes which token a number selects.
    """
    order = found.rank.argsort(dim=-1)
    ends = found.probabilities.gather(-1, order).cumsum(dim=-1)
    place = (ends <= uniform[..., None]).sum(dim=-1)
    # If rounding leaves the last end below 1, a number above it selects the last kept token.
    place = place.minimum(found.kept.sum(dim=-1) - 1)
    return order.gather(-1, place[..., None])[..., 0]

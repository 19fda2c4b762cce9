"""From logits to the next token: temperature, top-k, top-p, softmax, and a draw.

Each step of the arithmetic is kept, so that a page can show it. The ``decoding_steps``
component computes the same in the browser; a test holds the two equal.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.config import SamplingConfig

PLAIN = SamplingConfig()
"""Temperature 1 and no cut: the model's own probabilities."""


@dataclass(frozen=True)
class NextToken:
    """The arithmetic of one next token, all fields [..., vocabulary], in 64-bit floats.

    logits: as the model gave them.
    divided: logits over the temperature.
    rank: 0 for the highest logit; of equals, the one with the lower id comes first.
    in_top_k: whether top-k keeps it.
    before: probability of all that rank higher, after top-k; top-p compares it with p.
    kept: whether top-k and top-p both keep it. The first always is.
    probabilities: softmax over those kept; 0 for the others.
    """

    logits: Tensor
    divided: Tensor
    rank: Tensor
    in_top_k: Tensor
    before: Tensor
    kept: Tensor
    probabilities: Tensor


def next_token(logits: Tensor, sampling: SamplingConfig = PLAIN) -> NextToken:
    """What temperature, top-k and top-p, in this order, make of some logits.

    Args:
        logits: [..., vocabulary]. Log-probabilities do as well: softmax forgets a constant.
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
    if sampling.top_p < 1:  # else rounding, which lets a sum reach 1 early, would cut the last
        # The smallest set that reaches p: a token is in it while those before it do not reach p.
        kept = kept & ((before < sampling.top_p) | (rank == 0))
    return NextToken(logits, divided, rank, in_top_k, before, kept, _softmax(divided, kept))


def _softmax(values: Tensor, kept: Tensor) -> Tensor:
    """Softmax over those kept, the others 0."""
    return values.masked_fill(~kept, -torch.inf).softmax(dim=-1)


def draw(found: NextToken, uniform: Tensor) -> Tensor:
    """The tokens that numbers drawn evenly from [0, 1) stand for: [...] -> ids [...].

    The kept tokens lie beside each other, the most probable first, each as wide as it is
    probable; the number falls on one of them. A small change of the temperature thus seldom
    changes what the same number draws.
    """
    order = found.rank.argsort(dim=-1)
    ends = found.probabilities.gather(-1, order).cumsum(dim=-1)
    place = (ends <= uniform[..., None]).sum(dim=-1)
    # Where rounding leaves the last end below 1, a number above it falls on the last one kept.
    place = place.minimum(found.kept.sum(dim=-1) - 1)
    return order.gather(-1, place[..., None])[..., 0]

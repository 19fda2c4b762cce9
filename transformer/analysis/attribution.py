"""Why one output token and not another: gradient x input (Shrikumar et al., 2016) and occlusion.

Both explain the difference of the two logits, not a probability: where a model is certain, the
gradient of the probability almost vanishes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer.analysis.what_if import masked
from transformer.hooks import Hook, hook_points, hooked
from transformer.model import Transformer


@dataclass(frozen=True)
class Saliency:
    """How much each input token raised one output token's logit over its rival's, to first order.

    rival: id of the token compared with. lead: the token's logit minus the rival's.
    source: effect of each source token, [source]. read: effect of each token that the decoder had
        read, [position + 1]. Both in logits; positive favours the token, negative the rival. A
        token's vector includes its position here.
    """

    rival: int
    lead: float
    source: NDArray[np.float32]
    read: NDArray[np.float32]


def saliency(
    model: Transformer,
    source: Tensor,
    read: Tensor,
    position: int,
    token: int,
    rival: int | None = None,
) -> Saliency:
    """Gradient x input of the token's lead over its rival.

    Args:
        source, read: ids, [1, source] and [1, target]; ``read`` starts with the start token.
        position: index of the output token, from 0.
        token: the id to explain.
        rival: the id to compare with; None takes the most probable other token.
    """
    points = hook_points(model)
    inputs: dict[str, Tensor] = {}

    def leaf(name: str) -> Hook:
        def hook(value: Tensor) -> Tensor:
            inputs[name] = value.detach().requires_grad_()
            return inputs[name]

        return hook

    # The inputs of the first layers: token vectors plus positions, before a pre-norm.
    entries = [
        f"{stack}.layers.0.self_attention_residual.before" for stack in ("encoder", "decoder")
    ]
    with hooked({points[name]: leaf(name) for name in entries}), torch.enable_grad():
        logits = model(source, read[:, : position + 1])
        if rival is None:
            rival = next(int(i) for i in logits[0, -1].topk(2).indices if i != token)
        lead = logits[0, -1, token] - logits[0, -1, rival]
        gradients = torch.autograd.grad(lead, [inputs[name] for name in entries])
    from_source, from_read = (
        (gradient * inputs[name]).sum(dim=-1)[0].detach().numpy()
        for gradient, name in zip(gradients, entries, strict=True)
    )
    return Saliency(rival, lead.item(), from_source, from_read)


@torch.inference_mode()
def occlusion(
    model: Transformer, source: Tensor, read: Tensor, position: int, token: int, rival: int
) -> NDArray[np.float32]:
    """How much the lead falls when one source token is hidden, for each token: [source].

    This measures the real change, not a first-order estimate. But if either of two tokens is
    enough for the output, hiding one changes nothing, and neither seems to matter. Arguments as
    for :func:`saliency`.
    """
    places = range(source.size(1))
    sources = torch.cat([source, *(masked(model, source, place) for place in places)])
    rows = read[:, : position + 1].expand(len(sources), -1)
    last = model(sources, rows)[:, -1]
    leads = last[:, token] - last[:, rival]
    return (leads[0] - leads[1:]).numpy()

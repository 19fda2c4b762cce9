"""Why one output token, and not another: gradient x input (Shrikumar et al., 2016), occlusion.

The lead of one logit over the other is what is explained, not the probability: where a model is
sure, the gradient of a probability all but vanishes.
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
    """How much each token read pushed one output token ahead of its rival, to first order.

    rival: the token it is compared with. lead: the token's logit minus the rival's.
    source: [source]; read: [position + 1], what the decoder had read until then. Signed, in
    logits: positive pushes towards the token. Positions are part of a token's vector here.
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
    """The gradient of the token's lead at a position, times the input vectors it belongs to.

    Args:
        source, read: ids, [1, source] and [1, target]; ``read`` starts with the start token.
        position: which output, from 0; ``token``: the id that is explained.
        rival: the id it is compared with; None is the most probable other one.
    """
    points = hook_points(model)
    inputs: dict[str, Tensor] = {}

    def leaf(name: str) -> Hook:
        def hook(value: Tensor) -> Tensor:
            inputs[name] = value.detach().requires_grad_()
            return inputs[name]

        return hook

    # What the first layers read: token vectors with their positions, before any norm.
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
    """How much of the lead goes when each source token is hidden, one at a time: [source].

    Not to first order but what really happens; it, too, misses tokens that stand in for each
    other. Arguments as for :func:`saliency`.
    """
    places = range(source.size(1))
    sources = torch.cat([source, *(masked(model, source, place) for place in places)])
    rows = read[:, : position + 1].expand(len(sources), -1)
    last = model(sources, rows)[:, -1]
    leads = last[:, token] - last[:, rival]
    return (leads[0] - leads[1:]).numpy()

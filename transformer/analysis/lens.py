"""The logit lens (nostalgebraist, 2020): what each decoder layer would write if it were the last.

After each layer the residual stream goes through what comes after the last one, the norm (where
the model has one there) and the output projection. What is read so is a projection on the last
layer's way of writing things down, which earlier layers were never trained to follow.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer.hooks import record
from transformer.model import Transformer


@dataclass(frozen=True)
class Lens:
    """Logits at every layer and position of an output.

    logits: [layer, position, vocabulary]; layer 0 is what the first layer reads, and the last
        are the model's own, bit for bit.
    """

    logits: Tensor

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Softmax over the vocabulary: [layer, position, vocabulary]."""
        return torch.softmax(self.logits, dim=-1).numpy()

    @property
    def entropy(self) -> NDArray[np.float32]:
        """How undecided each layer is at each position, in bits: [layer, position]."""
        log_probs = torch.log_softmax(self.logits, dim=-1)
        return (-(log_probs.exp() * log_probs).sum(dim=-1) / np.log(2)).numpy()

    def ranks(self, position: int) -> NDArray[np.int64]:
        """The place of each token in each layer's order, from 1: [layer, vocabulary].

        Tokens with equal logits are told apart by their ids, the lower one first.
        """
        order = torch.sort(self.logits[:, position], dim=-1, descending=True, stable=True).indices
        return (order.argsort(dim=-1) + 1).numpy()


@torch.inference_mode()
def lens(model: Transformer, source: Tensor, read: Tensor) -> Lens:
    """Run the model once over an output and read every layer.

    Args:
        source, read: ids, [1, source] and [1, target]; ``read`` starts with the start token.
    """
    layers = range(model.config.num_decoder_layers)
    first = "decoder.layers.0.self_attention_residual.before"
    points = [first, *(f"decoder.layers.{i}.feed_forward_residual.after" for i in layers)]
    with record(model, points) as trace:
        model(source, read)
    # Whole outputs, not single positions: matrices of other shapes round differently.
    streams = (trace[point] for point in points)  # [1, position, d_model] each
    return Lens(torch.cat([model.output(model.decoder.norm(stream)) for stream in streams]))

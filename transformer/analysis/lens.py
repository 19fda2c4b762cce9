"""The logit lens (nostalgebraist, 2020): what each decoder layer would write if it were the last.

The residual stream after each layer goes through the final norm (if the model has one) and the
output projection. Both fit the representation of the last layer, which earlier layers were never
trained to use.
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

    logits: [layer, position, vocabulary]; layer 0 is the input of the first layer; those of the
        last layer equal the model's own, bit for bit.
    """

    logits: Tensor

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Softmax over the vocabulary: [layer, position, vocabulary]."""
        return torch.softmax(self.logits, dim=-1).numpy()

    @property
    def entropy(self) -> NDArray[np.float32]:
        """Entropy of each layer's probabilities at each position, in bits: [layer, position]."""
        log_probs = torch.log_softmax(self.logits, dim=-1)
        return (-(log_probs.exp() * log_probs).sum(dim=-1) / np.log(2)).numpy()

    def ranks(self, position: int) -> NDArray[np.int64]:
        """The rank of each token in each layer, 1 for the highest logit: [layer, vocabulary].

        Of tokens with equal logits, the one with the lower id ranks first.
        """
        order = torch.sort(self.logits[:, position], dim=-1, descending=True, stable=True).indices
        return (order.argsort(dim=-1) + 1).numpy()


@torch.inference_mode()
def lens(model: Transformer, source: Tensor, read: Tensor) -> Lens:
    """Run the model once over an output and compute the logits at every layer.

    Args:
        source, read: ids, [1, source] and [1, target]; ``read`` starts with the start token.
    """
    layers = range(model.config.num_decoder_layers)
    first = "decoder.layers.0.self_attention_residual.before"
    points = [first, *(f"decoder.layers.{i}.feed_forward_residual.after" for i in layers)]
    with record(model, points) as trace:
        model(source, read)
    # Whole outputs, not single positions: rounding depends on the shapes of the matrices.
    streams = (trace[point] for point in points)  # [1, position, d_model] each
    return Lens(torch.cat([model.output(model.decoder.norm(stream)) for stream in streams]))

"""A model's copy whose linear layers compute in 8 bits: generation with a large model.

Every output of a layer has its weights rounded to 8 bits, with a scale of their own; what comes
in is rounded at each call, with one scale for the call, and so depends, a little, on what else is
in the batch. Embeddings, norms, scores and softmax stay as they are. A quarter of the memory is
read a token, which is what a token of a large model costs.

PyTorch means to move this to a package of its own one day, and warns; requirements.txt pins it.
"""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.ao.nn.quantized import dynamic
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

from transformer.decoding.engines.fused_layers import Product
from transformer.decoding.steps import OVERFLOWING
from transformer.errors import CheckpointError, UserError
from transformer.hooks import own_modules
from transformer.model import Transformer

# Not around the call: what a thread changes there, another would change back.
warnings.filterwarnings("ignore", r"torch\.ao\.quantization is deprecated", DeprecationWarning)
warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor", UserWarning)

FASTER_FROM = 256
"""d_model from which it is: below, rounding what comes in costs more than it saves."""


class Int8Linear(dynamic.Linear):
    """PyTorch's, with a sentence for what it cannot round."""

    _product: Product | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]

        Raises:
            CheckpointError: a number that comes in is not finite.
        """
        return _apply(self._packed_params._packed_params, x)

    def product(self, others: Sequence["Int8Linear"], scale: float) -> Product:
        """This layer's outputs times ``scale`` and then the others', of the same input at once.

        The weights never change, and a layer is always joined with the same ones: made once.
        """
        if self._product is None:
            self._product = partial(_apply, _pack([self, *others], scale))
        return self._product


def _apply(packed: Any, x: Tensor, *, out: Tensor | None = None) -> Tensor:
    try:
        found: Tensor = torch.ops.quantized.linear_dynamic.default(x, packed, reduce_range=True)
    except RuntimeError as error:
        raise CheckpointError(OVERFLOWING) from error
    return found if out is None else out.copy_(found)


def _pack(parts: Sequence[Int8Linear], scale: float) -> Any:
    """Their weights and biases one below the other, as the processor's arithmetic wants them."""
    weights, biases = zip(*(part._packed_params._weight_bias() for part in parts), strict=True)
    scales = [weight.q_per_channel_scales() for weight in weights]
    scales[0] = scales[0] * scale
    joined = torch._make_per_channel_quantized_tensor(
        torch.cat([weight.int_repr() for weight in weights]),
        torch.cat(scales),
        torch.cat([weight.q_per_channel_zero_points() for weight in weights]),
        0,
    )
    if biases[0] is None:
        return torch.ops.quantized.linear_prepack(joined, None)
    return torch.ops.quantized.linear_prepack(joined, torch.cat([biases[0] * scale, *biases[1:]]))


def int8_copy(model: Transformer) -> Transformer:
    """The model with modules of its own, the linear ones in 8 bits; not to be trained or saved.

    Raises:
        UserError: the model is not on the CPU, this processor has no such arithmetic, or a fault
            was planted in the model, whose lines the 8-bit layers would not have.
    """
    if type(model) is not Transformer:
        raise UserError("A model with a planted fault cannot compute in 8 bits; decode without.")
    copied = own_modules(model)
    try:
        quantize_dynamic(
            copied,
            {nn.Linear: per_channel_dynamic_qconfig},
            mapping={nn.Linear: Int8Linear},
            inplace=True,
        )
    except (NotImplementedError, RuntimeError) as error:
        raise UserError("This machine cannot compute in 8 bits; decode without it.") from error
    return copied

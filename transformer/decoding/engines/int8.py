"""A copy of a model whose linear layers compute in 8 bits, to generate faster with a large model.

Weights are rounded to 8 bits with one scale per output. Inputs are rounded at each call with one
scale for the whole call, so results depend slightly on what else is in the batch. Embeddings,
norms, scores and softmax are unchanged. Each token reads a quarter of the memory, and reading
memory is most of a large model's time per token.

PyTorch warns that it will move this to a separate package; requirements.txt pins the version.
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

# For the whole process: changed around the call, filters of two threads would undo each other.
warnings.filterwarnings("ignore", r"torch\.ao\.quantization is deprecated", DeprecationWarning)
warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor", UserWarning)

FASTER_FROM = 256
"""Batches are faster in 8 bits from this d_model, a single input from 512; below, rounding the
inputs costs more than it saves."""


class Int8Linear(dynamic.Linear):
    """PyTorch's 8-bit layer, with a clear error for inputs that cannot be rounded."""

    _product: Product | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]

        Raises:
            CheckpointError: an input is not finite.
        """
        return _apply(self._packed_params._packed_params, x)

    def product(self, others: Sequence["Int8Linear"], scale: float) -> Product:
        """One product for several layers of the same input: this layer's outputs times ``scale``,
        then the outputs of ``others``.

        Built once: the weights never change, and a layer is always joined with the same others.
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
    """The layers' weights and biases concatenated and packed for PyTorch's 8-bit kernel."""
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
    """A copy of the model with 8-bit linear layers; it must not be trained or saved.

    Raises:
        UserError: the model is not on the CPU, this processor cannot compute in 8 bits, or the
            model has a planted fault, which the 8-bit layers would not reproduce.
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

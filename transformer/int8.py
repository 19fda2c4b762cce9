"""A checkpoint's copy whose linear layers compute in 8 bits: generation with a large model.

Every output of a layer has its weights rounded to 8 bits, with a scale of their own; what comes
in is rounded at each call, with one scale for the call, and so depends, a little, on what else is
in the batch. Embeddings, norms, scores and softmax stay as they are. A quarter of the memory is
read a token, which is what a token of a large model costs.

PyTorch means to move this to a package of its own one day, and warns; requirements.txt pins it.
"""

import copy
import warnings

from torch import Tensor, nn
from torch.ao.nn.quantized import dynamic
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

from transformer.checkpoint import Checkpoint
from transformer.decoding import OVERFLOWING
from transformer.errors import CheckpointError, UserError
from transformer.hooks import own_modules
from transformer.model import Transformer

# Not around the call: what a thread changes there, another would change back.
warnings.filterwarnings("ignore", r"torch\.ao\.quantization is deprecated", DeprecationWarning)
warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor", UserWarning)

FASTER_FROM = 512
"""d_model from which it is: below, rounding what comes in costs more than it saves."""


class Int8Linear(dynamic.Linear):
    """PyTorch's, with a sentence for what it cannot round."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]

        Raises:
            CheckpointError: a number that comes in is not finite.
        """
        try:
            found: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return found
        except RuntimeError as error:
            raise CheckpointError(OVERFLOWING) from error


def int8_twin(checkpoint: Checkpoint) -> Checkpoint:
    """The same checkpoint with its model as :func:`int8_copy` makes it."""
    twin = copy.copy(checkpoint)
    twin.model = int8_copy(checkpoint.model)
    return twin


def int8_copy(model: Transformer) -> Transformer:
    """The model with modules of its own, the linear ones in 8 bits; not to be trained or saved.

    Raises:
        UserError: the model is not on the CPU, or this processor has no such arithmetic.
    """
    twin = own_modules(model)
    try:
        quantize_dynamic(
            twin,
            {nn.Linear: per_channel_dynamic_qconfig},
            mapping={nn.Linear: Int8Linear},
            inplace=True,
        )
    except (NotImplementedError, RuntimeError) as error:
        raise UserError("This machine cannot compute in 8 bits; decode without it.") from error
    return twin

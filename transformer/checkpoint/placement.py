"""Copies of a checkpoint whose model computes on a graphics card, or in 8 bits.

Both are for inference only. A single input is always decoded on the CPU: its steps are too small
for a graphics card.
"""

import copy

import torch

from transformer.checkpoint.checkpoint import Checkpoint
from transformer.errors import UserError


def has_card() -> bool:
    return torch.cuda.is_available()


def on_card(checkpoint: Checkpoint) -> Checkpoint:
    """The same checkpoint with a copy of its model on the graphics card, for inference only.

    Raises:
        UserError: there is no card, or no room on it.
    """
    if not has_card():
        raise UserError(
            "PyTorch finds no CUDA graphics card on this machine; compute on the processor."
        )
    moved = checkpoint.view()
    try:
        moved.model = copy.deepcopy(moved.model).to("cuda")
    except torch.OutOfMemoryError as error:
        raise UserError(
            "There is no room for this model on the graphics card; compute on the processor."
        ) from error
    return moved


def in_8_bits(checkpoint: Checkpoint) -> Checkpoint:
    """The same checkpoint with its model copied by :func:`int8_copy`.

    Raises:
        UserError: this processor does not support it, or the model has a planted fault.
    """
    # PyTorch's quantization is slow to import and rarely used.
    from transformer.decoding.engines.int8 import int8_copy

    quantized = copy.copy(checkpoint)
    quantized.model = int8_copy(checkpoint.model)
    return quantized

"""Where and in what numbers a checkpoint's model computes: a graphics card, or 8 bits.

Both are for reading only. One input alone is decoded on the processor everywhere: its steps are
too small for a card.
"""

import copy

import torch

from transformer.checkpoint.checkpoint import Checkpoint
from transformer.errors import UserError


def has_card() -> bool:
    return torch.cuda.is_available()


def on_card(checkpoint: Checkpoint) -> Checkpoint:
    """The same checkpoint with a copy of its model on the graphics card, for reading only.

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
    """The same checkpoint with its model as :func:`int8_copy` makes it.

    Raises:
        UserError: this processor cannot compute so.
    """
    # PyTorch's quantization is slow to import, and few ask for it.
    from transformer.decoding.engines.int8 import int8_copy

    quantized = copy.copy(checkpoint)
    quantized.model = int8_copy(checkpoint.model)
    return quantized

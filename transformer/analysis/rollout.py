"""Attention rollout (Abnar and Zuidema, 2020), extended to an encoder and a decoder.

Each layer is taken to mix a position's vector, which the residual connection carries, and the
vectors it attends to, half and half. Multiplied through the layers, this gives how much of each
input token could have reached a position. Gradients and values are not used, so rollout shows
where information could flow, not what effect it had.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rollout:
    """The shares of input tokens in each output position; each row sums to 1.

    encoder: shares of the source tokens in each encoder output, [source, source].
    from_source, from_target: shares of the source tokens and of the tokens read by the decoder in
        each decoder output, [target, source] and [target, target]; the two rows sum to 1 together.
    """

    encoder: Floats
    from_source: Floats
    from_target: Floats


def rollout(
    encoder: NDArray[np.float32], decoder: NDArray[np.float32], cross: NDArray[np.float32]
) -> Rollout:
    """Multiply the attention weights of all layers, averaged over heads.

    Args:
        encoder, decoder, cross: weights, [layer, head, query, key] each.
    """
    source, target = encoder.shape[-1], decoder.shape[-1]
    encoded = np.eye(source)
    for layer in encoder.astype(np.float64).mean(axis=1):
        encoded = (layer + np.eye(source)) / 2 @ encoded
    from_target, from_source = np.eye(target), np.zeros((target, source))
    for own, over in zip(
        decoder.astype(np.float64).mean(axis=1), cross.astype(np.float64).mean(axis=1), strict=True
    ):
        mix = (own + np.eye(target)) / 2
        from_target, from_source = mix @ from_target, mix @ from_source
        from_target, from_source = from_target / 2, (from_source + over @ encoded) / 2
    return Rollout(encoded, from_source, from_target)

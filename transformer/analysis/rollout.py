"""Attention rollout (Abnar and Zuidema, 2020), extended to an encoder and a decoder.

Each layer passes on half of what a position was and half of what it attended to (the residual
connection counts as attention to oneself); multiplied through the layers, that says how much of
each input token could have reached a position. It uses no gradient and no values, so it says
where information could flow, not what it did.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rollout:
    """Shares that sum to 1 in each row.

    encoder: of input tokens in each encoder output, [source, source].
    from_source, from_target: of input tokens and of tokens read by the decoder in each of its
        outputs, [target, source] and [target, target]; a row of both together sums to 1.
    """

    encoder: Floats
    from_source: Floats
    from_target: Floats


def rollout(
    encoder: NDArray[np.float32], decoder: NDArray[np.float32], cross: NDArray[np.float32]
) -> Rollout:
    """Multiply the attentions of all layers, heads averaged.

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

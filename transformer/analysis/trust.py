"""Whether attention weights can be trusted: checks of the same arrays that the page shows."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from transformer.analysis.heads import KINDS
from transformer.analysis.reference import Reference
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.verification import Check
from transformer.dropout import Dropout

ROUNDING = 1e-5
"""Largest deviation of a row's sum from 1 that 32-bit rounding may cause."""
DEPTH = 1e-4
"""Largest difference from the 64-bit formulas that rounding in all layers of a deep model may
cause."""


def trust(
    checkpoint: Checkpoint,
    source: Sequence[int],
    read: Sequence[int],
    weights: Mapping[str, NDArray[np.float32]],
) -> list[Check]:
    """Check the weights of one sentence.

    Args:
        source, read: input ids of the encoder and of the decoder.
        weights: "encoder", "decoder", "cross" -> [layer, head, query, key].
    """
    off = max(float(np.abs(w.sum(axis=-1, dtype=np.float64) - 1).max()) for w in weights.values())
    future = np.triu(np.ones(weights["decoder"].shape[-2:], dtype=bool), 1)
    masked = float(np.abs(weights["decoder"][..., future]).max(initial=0.0))
    model = checkpoint.model
    rates = [part.p for part in model.modules() if isinstance(part, Dropout)]
    dropout = f"dropout is off (the model trained with {rates[0]:g})"
    reference = Reference(checkpoint.config, checkpoint.tensors).attention(list(source), list(read))
    apart = max(float(np.abs(weights[kind] - reference[kind]).max()) for kind in KINDS)
    count = sum(w.size for w in weights.values())
    return [
        Check("rows sum to 1", off < ROUNDING, f"every row sums to 1 within {off:.0e}"),
        Check(
            "nothing under the mask",
            masked == 0,
            f"largest weight on a token not yet written: {masked:g}",
        ),
        Check("dropout off", not model.training, dropout if not model.training else "it is on"),
        Check(
            "equals the formulas",
            apart < DEPTH,
            f"all {count:,} weights equal the paper's formulas, computed again in 64-bit NumPy, "
            f"within {apart:.0e}",
        ),
    ]

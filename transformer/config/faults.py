"""Names of the faults that can be planted, and how to hide a name that a user is to find out.

:mod:`transformer.faults` defines the faults and needs torch; this module does not.
"""

import hashlib

from transformer.errors import ConfigError

IN_MODEL = (
    *("no-causal-mask", "causal-mask-off-by-one", "causal-mask-inverted"),
    *("no-source-padding-mask", "padding-mask-inverted", "padding-mask-on-queries"),
    *("no-cross-padding-mask", "mask-value-too-weak", "mask-after-softmax"),
    *("softmax-over-queries", "softmax-over-heads", "unscaled-scores"),
    *("scores-scaled-by-d-model", "scores-multiplied", "heads-merged-by-view"),
    *("heads-split-by-view", "output-projection-unused", "keys-values-swapped"),
    *("batch-time-swapped", "no-positions", "positions-wrong-formula", "unscaled-embeddings"),
    *("norm-after-embeddings", "output-softmaxed", "dropout-in-eval", "no-residual"),
    *("residual-after-norm", "no-layer-norm", "layer-norm-unbiased", "layer-norm-eps-outside"),
    *("layer-norm-over-positions", "cross-attention-reads-decoder", "shared-layers"),
    *("layers-reuse-input", "no-activation", "memory-detached"),
)
OUTSIDE = (
    *("targets-not-shifted", "targets-shifted-twice", "eos-never-taught"),
    *("softmax-before-cross-entropy", "padding-in-loss", "gradients-not-zeroed"),
    *("parameters-not-optimized", "learning-rate-too-high", "no-warmup"),
    *("wrong-start-token", "decoding-position-zero", "no-eval-mode"),
)
"""Faults outside the model: in the batches, the loss, the optimizer or the decoding."""
NAMES = IN_MODEL + OUTSIDE
HIDDEN = "hidden-"


def hide(name: str, salt: str) -> str:
    """A salted hash that replaces the fault's name in a run whose fault is to be found."""
    return f"{HIDDEN}{salt}-{_mark(name, salt)}"


def is_hidden(value: str) -> bool:
    return value.startswith(HIDDEN)


def reveal(value: str) -> str:
    """The fault's name, from the name itself or the output of :func:`hide`; "" means no fault.

    Raises:
        ConfigError: there is no such fault.
    """
    if not value or value in NAMES:
        return value
    salt, _, mark = value.removeprefix(HIDDEN).rpartition("-")
    if is_hidden(value):
        for name in NAMES:
            if _mark(name, salt) == mark:
                return name
    raise ConfigError(
        f"There is no fault {value[:60]!r}; `python -m transformer faults` lists them all."
    )


def _mark(name: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}/{name}".encode()).hexdigest()[:12]

"""Which kinds of check (witnesses) must find each fault: the table in docs/doctor.md.

comparison: our model with the user's weights differs, and planting the fault in it proves it.
invariant: a property of every correct model is violated. gradients: which parameters they reach,
and which parameters change.
loss: its value on fixed logits. decoding: the output differs from the model's predictions.
curve: the loss over the updates.
"""

from collections.abc import Mapping

from transformer.config.faults import IN_MODEL

FUTURE, PADDING = "No look into the future", "Padding changes nothing"
APART = "Sentences do not mix"
READ, FIRST = "The source is read", "The first word sees the whole source"
TWICE, USED = "The same twice", "Every parameter is used"
FAILING_CHECKS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            *("no-causal-mask", "causal-mask-off-by-one", "causal-mask-inverted"),
            *("mask-value-too-weak", "mask-after-softmax", "softmax-over-queries"),
            *("softmax-over-heads", "heads-merged-by-view", "heads-split-by-view"),
            "layer-norm-over-positions",
        ),
        frozenset({FUTURE, PADDING}),
    ),
    **dict.fromkeys(
        (
            *("no-source-padding-mask", "padding-mask-inverted", "padding-mask-on-queries"),
            "no-cross-padding-mask",
        ),
        frozenset({PADDING}),
    ),
    "batch-time-swapped": frozenset({PADDING, APART}),
    "no-positions": frozenset({READ}),
    "cross-attention-reads-decoder": frozenset({READ, FIRST, USED}),
    "dropout-in-eval": frozenset({TWICE}),
    **dict.fromkeys(
        ("output-projection-unused", "no-layer-norm", "layers-reuse-input", "memory-detached"),
        frozenset({USED}),
    ),
}
"""Fault -> the checks (without mapping) that must fail; all others must pass. Faults that are not
listed pass them all."""
OUTSIDE: Mapping[str, str] = {
    "targets-not-shifted": "invariant",
    "targets-shifted-twice": "invariant",
    "eos-never-taught": "invariant",
    "softmax-before-cross-entropy": "loss",
    "padding-in-loss": "loss",
    "gradients-not-zeroed": "gradients",
    "parameters-not-optimized": "gradients",
    "learning-rate-too-high": "curve",
    "no-warmup": "curve",
    "wrong-start-token": "decoding",
    "decoding-position-zero": "decoding",
    "no-eval-mode": "invariant",
}


def witnesses(fault: str) -> tuple[str, ...]:
    """The witnesses that must find a fault, the one that proves it first."""
    if fault in OUTSIDE:
        return (OUTSIDE[fault],)
    seen = FAILING_CHECKS.get(fault, frozenset())
    found = [] if fault in ("memory-detached", "dropout-in-eval") else ["comparison"]
    found += ["invariant"] if seen - {USED} else []
    found += ["gradients"] if USED in seen else []
    return tuple(found)


def table() -> str:
    """The table as it is in docs/doctor.md."""
    names = [*IN_MODEL, *OUTSIDE]
    rows = [f"| `{name}` | {', '.join(witnesses(name))} |" for name in names]
    return "\n".join(["| Fault | Named by |", "|---|---|", *rows])

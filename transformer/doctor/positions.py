"""Formulas of positional encodings that people write, to recognise the one a model adds."""

import numpy as np

from transformer.doctor.recording import Array

NEAR = 2e-6
"""Encodings count as equal below this difference: tables are often made in 32 bits."""


def sines(kind: str, length: int, width: int, start: int = 0) -> Array:
    """The positional encoding of positions ``start`` and after by a formula: [length, width]."""
    position = np.arange(start, start + length, dtype=np.float64)[:, None]
    even = np.arange(0, width, 2, dtype=np.float64)
    half = np.arange(width // 2, dtype=np.float64)
    if kind == "doubled":
        a, b = position / 1e4 ** (2 * even / width), position / 1e4 ** (2 * (even + 1) / width)
        return _interleaved(np.sin(a), np.cos(b))
    if kind == "cosine one further":
        a, b = position / 1e4 ** (even / width), position / 1e4 ** ((even + 1) / width)
        return _interleaved(np.sin(a), np.cos(b))
    if kind == "doubled, one exponent":
        a = position / 1e4 ** (2 * even / width)
        return _interleaved(np.sin(a), np.cos(a))
    if kind == "halves of n - 1 steps":
        a = position / 1e4 ** (half / max(1, width // 2 - 1))
        return np.concatenate([np.sin(a), np.cos(a)], axis=1)
    base = 1e3 if "1000" in kind else 1e4
    a = position / base ** (2 * half / width)
    if kind.startswith("halves"):
        return np.concatenate([np.sin(a), np.cos(a)], axis=1)
    return _interleaved(np.sin(a), np.cos(a))


def _interleaved(left: Array, right: Array) -> Array:
    return np.stack([left, right], axis=-1).reshape(len(left), -1)


RIGHT = ("interleaved", "halves", "halves of n - 1 steps")
"""The paper's formula, and two variants that published models use."""
WRONG = ("doubled", "cosine one further", "doubled, one exponent", "base 1000")


def formula_of(added: Array) -> str:
    """The formula's name in RIGHT or WRONG, with the first position unless it is 0; "none" if all
    are zeros; "" if unknown."""
    if np.abs(added).max() < NEAR:
        return "none"
    if added.shape[1] % 2:
        return ""
    for kind in (*RIGHT, *WRONG):
        for start in (0, 1, 2):
            made = sines(kind, len(added), added.shape[1], start)
            if np.abs(made - added).max() < NEAR:
                return kind if start == 0 else f"{kind}, from position {start}"
    return ""

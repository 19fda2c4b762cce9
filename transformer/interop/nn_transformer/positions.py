"""Tells whether a table of positions holds the paper's sines and cosines, and in which order."""

import torch
from torch import Tensor

LAYOUTS = ("interleaved", "halves")
QUICK_CHECK_ROWS = 8
REPORTED_ROWS = 512
"""Rows whose deviation is reported: inputs are rarely longer."""


def as_table(tensor: Tensor, d_model: int) -> Tensor | None:
    """The table [length, d_model] from a tensor [length, d], [length, 1, d] or [1, length, d]; None
    for other shapes."""
    if tensor.dim() not in (2, 3) or tensor.size(-1) != d_model or not tensor.is_floating_point():
        return None
    if tensor.dim() == 3:
        if 1 not in tensor.shape[:2]:
            return None
        tensor = tensor.flatten(0, 1)
    return tensor if len(tensor) else None


def by_formula(length: int, d_model: int, layout: str) -> Tensor:
    """The paper's table (section 3.5) in float64, [length, d_model]."""
    position = torch.arange(length, dtype=torch.float64)[:, None]
    i = torch.arange(d_model // 2, dtype=torch.float64)
    angle = position / 10000 ** (2 * i / d_model)
    pair = (angle.sin(), angle.cos())
    return torch.stack(pair, -1).flatten(-2) if layout == "interleaved" else torch.cat(pair, -1)


def layout_of(table: Tensor) -> tuple[str, float] | None:
    """The order of sines and cosines in a table [length, d_model], and the largest deviation of
    its first rows from the formula; None if it holds something else.

    Tutorials compute in 32 bits, where the angle's rounding error grows with the position; so the
    tolerance grows with the row.
    """
    length, d_model = table.shape
    if d_model % 2 or length < 2:
        return None
    if length > QUICK_CHECK_ROWS and layout_of(table[:QUICK_CHECK_ROWS]) is None:
        return None  # fast for large embeddings: a few rows suffice
    rounding = max(torch.finfo(table.dtype).eps, torch.finfo(torch.float32).eps)
    allowed = (rounding * 8 * (1 + torch.arange(length, dtype=torch.float64))).clamp(max=0.1)
    for layout in LAYOUTS:
        deviation = (table.double() - by_formula(length, d_model, layout)).abs().amax(dim=1)
        if bool((deviation <= allowed).all()):
            return layout, float(deviation[:REPORTED_ROWS].max())
    return None

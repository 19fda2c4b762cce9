"""Figures as pure functions of arrays and tokens: for pages, export, notebooks and papers."""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.figures.attention import attention_grid, attention_map, head_view
    from transformer.figures.curves import loss_curves, run_comparison

__getattr__ = lazy(__name__)

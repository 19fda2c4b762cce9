"""The key-value cache of the fast decoder, for all its layers.

Hypothesis b of a sentence stores position t in slot t·beam + b.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.decoding.engines.fused_layers import Product


class CacheView(NamedTuple):
    """Views of one layer's cache for one step.

    new: the memory to write the new position into.
    keys: [batch·head, d_k, slot]; values: [batch·head, slot, d_k]; both include the new position.
    """

    new: Tensor
    keys: Tensor
    values: Tensor


class SingleSentenceCache:
    """The cache of a single sentence: the projection writes into it directly, without a copy.

    rows: [layer, slot, 3 · head · d_k]; queries, keys and values.
    """

    def __init__(self, layers: int, heads: int, d_k: int, slots: int, like: Tensor) -> None:
        self.heads, self.d_k = heads, d_k
        self.rows = like.new_empty(layers, slots, 3 * heads * d_k)

    def views(self, used: int, beam: int) -> Sequence[CacheView]:
        """The views of each layer for one new position per hypothesis, after ``used`` slots."""
        count = used + beam
        if count > self.rows.size(1):
            self.rows = torch.cat([self.rows, torch.empty_like(self.rows)], dim=1)
        rows = self.rows[:, :count]
        by_kind = rows.view(*rows.shape[:2], 3, self.heads, self.d_k).permute(2, 0, 3, 1, 4)
        parts = (rows[:, used:], by_kind[1].mT, by_kind[2])
        return list(map(CacheView, *(part.unbind() for part in parts)))

    def extend(self, project: Product, x: Tensor, view: CacheView) -> Tensor:
        """Project a new position of each hypothesis, [beam, d_model]; store its keys and values.

        Returns:
            The queries, [head, beam, d_k].
        """
        project(x, out=view.new)
        return view.new.view(len(x), 3, self.heads, self.d_k)[:, 0].transpose(0, 1)

    def keep_rows(self, rows: Tensor) -> None:
        """Nothing to drop: only called while the single sentence is unfinished."""


class BatchCache:
    """The cache of several sentences with the same beam size.

    It differs from :class:`SingleSentenceCache` in that each head's slots must be contiguous, so
    new keys and values are copied into place.

    stored: [layer, keys and values, batch·head, slot, d_k].
    """

    def __init__(self, layers: int, heads: int, d_k: int, slots: int, like: Tensor) -> None:
        self.heads = heads
        self.stored = like.new_empty(layers, 2, len(like) * heads, slots, d_k)

    def views(self, used: int, beam: int) -> Sequence[CacheView]:
        count = used + beam
        if count > self.stored.size(3):
            self.stored = torch.cat([self.stored, torch.empty_like(self.stored)], dim=3)
        slots = self.stored[:, :, :, :count]
        new = slots[:, :, :, used:].unflatten(2, (-1, self.heads))
        parts = (new, slots[:, 0].mT, slots[:, 1])
        return list(map(CacheView, *(part.unbind() for part in parts)))

    def extend(self, project: Product, x: Tensor, view: CacheView) -> Tensor:
        _, batch, heads, beam, d_k = view.new.shape
        parts = project(x).view(batch, beam, 3, heads, d_k)
        parts = parts.permute(2, 0, 3, 1, 4)  # [three, batch, head, beam, d_k]
        view.new.copy_(parts[1:])
        return parts[0].flatten(0, 1)

    def keep_rows(self, rows: Tensor) -> None:
        """Drop all rows except these, by their number in [batch·head]."""
        self.stored = self.stored.index_select(2, rows)

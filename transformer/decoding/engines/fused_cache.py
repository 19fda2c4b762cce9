"""The key-value cache of the fast decoder, for all its layers.

Hypothesis b of a sentence stores position t in slot t·beam + b.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.decoding.engines.fused_layers import Product


class Room(NamedTuple):
    """Views of one layer's cache for one step.

    new: the memory to write the new position into.
    keys: [batch·head, d_k, slot]; values: [batch·head, slot, d_k]; both include the new position.
    """

    new: Tensor
    keys: Tensor
    values: Tensor


class PastOfOne:
    """The cache of a single sentence: the projection writes into it directly, without a copy.

    rows: [layer, slot, 3 · head · d_k]; queries, keys and values.
    """

    def __init__(self, layers: int, heads: int, d_k: int, room: int, like: Tensor) -> None:
        self.heads, self.d_k = heads, d_k
        self.rows = like.new_empty(layers, room, 3 * heads * d_k)

    def rooms(self, used: int, beam: int) -> Sequence[Room]:
        """The views of each layer for one new position per hypothesis, after ``used`` slots."""
        count = used + beam
        if count > self.rows.size(1):
            self.rows = torch.cat([self.rows, torch.empty_like(self.rows)], dim=1)
        rows = self.rows[:, :count]
        parts = rows.view(*rows.shape[:2], 3, self.heads, self.d_k).permute(2, 0, 3, 1, 4)
        views = (rows[:, used:], parts[1].mT, parts[2])
        return list(map(Room, *(view.unbind() for view in views)))

    def extend(self, project: Product, x: Tensor, room: Room) -> Tensor:
        """Project a new position of each hypothesis, [beam, d_model]; store its keys and values.

        Returns:
            The queries, [head, beam, d_k].
        """
        project(x, out=room.new)
        return room.new.view(len(x), 3, self.heads, self.d_k)[:, 0].transpose(0, 1)

    def keep(self, rows: Tensor) -> None:
        """Nothing to drop: only called while the single sentence is unfinished."""


class PastOfMany:
    """The cache of several sentences with the same beam size; otherwise like :class:`PastOfOne`.

    Each head's slots must be contiguous, so new keys and values are copied into place.

    past: [layer, keys and values, batch·head, slot, d_k].
    """

    def __init__(self, layers: int, heads: int, d_k: int, room: int, like: Tensor) -> None:
        self.heads = heads
        self.past = like.new_empty(layers, 2, len(like) * heads, room, d_k)

    def rooms(self, used: int, beam: int) -> Sequence[Room]:
        count = used + beam
        if count > self.past.size(3):
            self.past = torch.cat([self.past, torch.empty_like(self.past)], dim=3)
        slots = self.past[:, :, :, :count]
        new = slots[:, :, :, used:].unflatten(2, (-1, self.heads))
        views = (new, slots[:, 0].mT, slots[:, 1])
        return list(map(Room, *(view.unbind() for view in views)))

    def extend(self, project: Product, x: Tensor, room: Room) -> Tensor:
        _, batch, heads, beam, d_k = room.new.shape
        parts = project(x).view(batch, beam, 3, heads, d_k)
        parts = parts.permute(2, 0, 3, 1, 4)  # [three, batch, head, beam, d_k]
        room.new.copy_(parts[1:])
        return parts[0].flatten(0, 1)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows except those where ``rows`` is True, [batch·head]."""
        self.past = self.past[:, :, rows]

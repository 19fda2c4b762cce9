"""Keys and values of the positions that a fast decoder has written, of all its layers.

Slot b of position t, of the b-th hypothesis of its sentence, is at t·beam + b of the slots.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.decoding.engines.fused_layers import Product


class Room(NamedTuple):
    """What one layer sees of the past, and where it adds to it, at one step.

    new: where the new position goes. keys: [batch·head, d_k, slot]; values:
    [batch·head, slot, d_k], the new ones among them.
    """

    new: Tensor
    keys: Tensor
    values: Tensor


class PastOfOne:
    """One sentence's: the product that makes them writes them where they stay.

    rows: [layer, slot, 3 · head · d_k]; queries, keys and values.
    """

    def __init__(self, layers: int, heads: int, d_k: int, room: int, like: Tensor) -> None:
        self.heads, self.d_k = heads, d_k
        self.rows = like.new_empty(layers, room, 3 * heads * d_k)

    def rooms(self, used: int, beam: int) -> Sequence[Room]:
        """For each layer, for a new position of each hypothesis after ``used`` slots."""
        count = used + beam
        if count > self.rows.size(1):
            self.rows = torch.cat([self.rows, torch.empty_like(self.rows)], dim=1)
        rows = self.rows[:, :count]
        parts = rows.view(*rows.shape[:2], 3, self.heads, self.d_k).permute(2, 0, 3, 1, 4)
        views = (rows[:, used:], parts[1].mT, parts[2])
        return list(map(Room, *(view.unbind() for view in views)))

    def extend(self, project: Product, x: Tensor, room: Room) -> Tensor:
        """Project a new position of each hypothesis, [beam, d_model], and keep what comes of it.

        Returns:
            The queries, [head, beam, d_k].
        """
        project(x, out=room.new)
        return room.new.view(len(x), 3, self.heads, self.d_k)[:, 0].transpose(0, 1)

    def keep(self, rows: Tensor) -> None:
        """Called only while the sentence goes on, so there is nothing to drop."""


class PastOfMany:
    """Many sentences', each with a beam of the same size; as :class:`PastOfOne` else.

    Their slots must lie side by side head by head, and so are copied there.

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
        """Only these of batch·head: boolean."""
        self.past = self.past[:, :, rows]

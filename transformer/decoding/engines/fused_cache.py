"""Keys and values of the positions that a fast decoder layer has written.

Slot b of position t, of the b-th hypothesis of its sentence, is at t·beam + b of the key axis.
"""

import torch
from torch import Tensor

from transformer.decoding.engines.fused_layers import Product


class PastOfOne:
    """One sentence's: the product that makes them writes them where they stay.

    project: the layer's queries, keys and values in one, [rows, d_model] -> [rows, 3 · head · d_k].
    room: slots there is room for; it doubles when they are used up.
    """

    def __init__(self, project: Product, heads: int, d_k: int, room: int, like: Tensor) -> None:
        self.project, self.heads = project, heads
        self.rows = like.new_empty(room, 3 * heads * d_k)

    def extend(self, x: Tensor, used: int) -> tuple[Tensor, Tensor, Tensor]:
        """Project a new position of each hypothesis, [beam, d_model], to after ``used`` slots.

        Returns:
            Its queries, [batch·head, beam, d_k], and all keys and values so far,
            [batch·head, slot, d_k].
        """
        count = used + len(x)
        if count > len(self.rows):
            self.rows = torch.cat([self.rows, torch.empty_like(self.rows)])
        rows = self.rows[:count]
        self.project(x, out=rows[used:])
        queries, keys, values = rows.view(count, 3, self.heads, -1).permute(1, 2, 0, 3)
        return queries[:, used:], keys, values

    def keep(self, rows: Tensor) -> None:
        """Called only while the sentence goes on, so there is nothing to drop."""


class PastOfMany:
    """Many sentences', each with a beam of the same size; as :class:`PastOfOne` else.

    Their slots must lie side by side head by head, and so are copied there.
    """

    def __init__(self, project: Product, heads: int, d_k: int, room: int, like: Tensor) -> None:
        self.project, self.heads = project, heads
        self.past = like.new_empty(2, len(like) * heads, room, d_k)

    def extend(self, x: Tensor, used: int) -> tuple[Tensor, Tensor, Tensor]:
        beam = len(x) * self.heads // self.past.size(1)
        count = used + beam
        if count > self.past.size(2):
            self.past = torch.cat([self.past, torch.empty_like(self.past)], dim=2)
        parts = self.project(x).view(-1, beam, 3, self.heads, self.past.size(3))
        parts = parts.permute(2, 0, 3, 1, 4)  # [three, batch, head, beam, d_k]
        self.past[:, :, used:count].view(2, *parts.shape[1:]).copy_(parts[1:])
        keys, values = self.past[:, :, :count].unbind()
        return parts[0].flatten(0, 1), keys, values

    def keep(self, rows: Tensor) -> None:
        """Only these of batch·head: boolean."""
        self.past = self.past[:, rows]

"""A padded batch without its padding, so that most of a model computes tokens alone.

Embeddings, products and norms compute each position on its own: of a packed batch they get the
rows up to each text's last token, one after the other, as in PyTorch's ``PackedSequence``. Only
attention needs all texts padded to one length.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F


class Rows:
    """The rows of one side of a batch, one for each position of each text, ordered by position.

    Attributes:
        batch: number of texts. positions: of the longest.
        packed: whether rows after a text's last token are left out.
        kept: if packed, the place of each row among all, [row]; else empty.
    """

    def __init__(
        self, batch: int, positions: int, lengths: Tensor | None = None, multiple: int = 1
    ) -> None:
        """
        Args:
            lengths: of each text up to its last token, [batch], at least 1; None: not packed.
            multiple: the number of rows is rounded up to a multiple of it, by keeping the first
                places of padding, if there are as many.
        """
        self.batch, self.positions = batch, positions
        self.packed = lengths is not None
        self.kept = self._rows = torch.empty(0, dtype=torch.long)
        if lengths is not None:
            keeps = (torch.arange(positions)[:, None] < lengths).flatten()
            if missing := -int(lengths.sum()) % multiple:
                keeps[keeps.logical_not().nonzero()[:missing, 0]] = True
            self.kept = keeps.nonzero()[:, 0]
            # The row of each place. The others have any: their numbers have no effect if finite.
            self._rows = keeps.cumsum(0) - 1

    def of(self, ids: Tensor) -> Tensor:
        """ids [batch, position] -> [position, batch], or [row] if packed"""
        return ids.t().flatten()[self.kept] if self.packed else ids.t()

    def spread(self, x: Tensor) -> Tensor:
        """[position, width] -> [position, 1, width], or [row, width] if packed"""
        return F.embedding(self.kept // self.batch, x) if self.packed else x[:, None]

    def pad(self, x: Tensor) -> Tensor:
        """[row, width] -> [position · batch, width]; the numbers at padding have no meaning."""
        if not self.packed:
            return x
        return cast(Tensor, _Pad.apply(x, self.kept, self._rows))  # type: ignore[no-untyped-call]

    def pack(self, x: Tensor) -> Tensor:
        """[position · batch, width] -> [row, width]"""
        if not self.packed:
            return x
        return cast(Tensor, _Pack.apply(x, self.kept))  # type: ignore[no-untyped-call]


class _Pad(torch.autograd.Function):
    """``index_select``, whose own gradient is slow: it adds up row by row. Padding has none."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, rows: Tensor) -> Tensor:
        ctx.kept = kept
        return x.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return gradient.index_select(0, ctx.kept), None, None


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor) -> Tensor:
        ctx.kept, ctx.count = kept, len(x)
        return x.index_select(0, kept)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        padded = gradient.new_zeros(ctx.count, gradient.size(1))
        return padded.index_copy_(0, ctx.kept, gradient), None

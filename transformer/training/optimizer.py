"""Adam and its schedule (section 5.3), on the kernel of PyTorch's own.

``torch.optim.Adam(..., fused=True)`` computes the same, bit for bit. But whoever makes one
imports a compiler, which takes as long as importing torch: every trainer would start that later.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from transformer.config import TrainingConfig


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The rate of update ``step``, counted from 1.

    A linear warm-up to ``config.learning_rate``, then constant or falling with 1/√step as in
    section 5.3, and over the last ``decay_fraction`` of the steps a straight line towards 0.
    The paper's own schedule is inverse-sqrt with learning_rate = (d_model · warmup_steps)^-½.
    """
    rate = config.learning_rate
    if step < config.warmup_steps:
        rate *= step / config.warmup_steps
    elif config.schedule == "inverse-sqrt":
        rate *= math.sqrt(config.warmup_steps / step)
    decay_steps = config.steps * config.decay_fraction
    remaining = config.steps - step + 1
    if remaining < decay_steps:
        rate *= remaining / decay_steps
    return rate


class Adam:
    """The optimiser of some parameters, in float32.

    state: of each parameter that had an update, "step" (float32 []), and "exp_avg" and
        "exp_avg_sq" in its shape: the means of its gradients and of their squares.
    """

    def __init__(
        self, parameters: Iterable[Tensor], betas: tuple[float, float], eps: float
    ) -> None:
        self.parameters = list(parameters)
        self.betas, self.eps = betas, eps
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update, at this learning rate, of all that have a gradient."""
        moved = [one for one in self.parameters if one.grad is not None]
        gradients = [one.grad for one in self.parameters if one.grad is not None]
        for parameter in moved:
            if parameter not in self.state:
                self.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        slots = [self.state[parameter] for parameter in moved]
        steps = [slot["step"] for slot in slots]
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            moved,
            gradients,
            [slot["exp_avg"] for slot in slots],
            [slot["exp_avg_sq"] for slot in slots],
            [],
            steps,
            lr=rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

"""Adam and its schedule (section 5.3), with PyTorch's own kernel; and Muon.

``torch.optim.Adam(..., fused=True)`` computes the same, bit for bit. But creating one imports a
compiler, which takes as long as importing torch and would delay the start of every trainer.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from transformer.config import TrainingConfig
from transformer.faults import practice_of


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The rate of update ``step``, counted from 1.

    A linear warm-up to ``config.learning_rate``, then constant or proportional to 1/√step as in
    section 5.3, and over the last ``decay_fraction`` of the steps a linear decay towards 0.
    The paper's own schedule is inverse-sqrt with learning_rate = (d_model · warmup_steps)^-½.
    """
    practice = practice_of(config.fault)
    rate = config.learning_rate
    rate *= practice.rate_factor
    if practice.warms_up and step < config.warmup_steps:
        rate *= step / config.warmup_steps
    elif config.schedule == "inverse-sqrt":
        rate *= math.sqrt(config.warmup_steps / step)
    decay_steps = config.steps * config.decay_fraction
    remaining = config.steps - step + 1
    if remaining < decay_steps:
        rate *= remaining / decay_steps
    return rate


class Adam:
    """Adam over some parameters, in float32.

    decay: decoupled weight decay (Loshchilov and Hutter, 2019): every update first takes the share
        rate · decay off each matrix. Adam would divide the gradient of a penalty by its size.
    state: of each parameter that had an update, "step" (float32 []), and "exp_avg" and
        "exp_avg_sq" in its shape: the means of its gradients and of their squares.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        betas: tuple[float, float],
        eps: float,
        decay: float = 0.0,
    ) -> None:
        self.parameters = list(parameters)
        self.betas, self.eps, self.decay = betas, eps, decay
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float, precision: str = "fp32") -> None:
        """One update, at the learning rate ``rate``, of all parameters that have a gradient.

        precision: of matrix products in :class:`Muon`; not used here.
        """
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
        shrink(moved, rate * self.decay)
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


def shrink(parameters: Sequence[Tensor], share: float) -> None:
    """Reduce every matrix among some parameters by a share; biases and gains are unchanged."""
    matrices = [one for one in parameters if one.dim() > 1]
    if share and matrices:
        torch._foreach_mul_(matrices, 1 - share)


MOMENTUM = 0.95
POLYNOMIALS = (
    (8.0934, -23.6204, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
"""Polynomials ax + bx³ + cx⁵, applied to singular values one after the other.

They map singular values from 0.01 to 1 to values between 0.73 and 1.27: each is the closest to 1
on the interval that those before it leave (Amsel et al., 2025). Since each is made for its
interval, three do as much as five applications of the one polynomial of Muon's author.
"""
LIKE_ADAM = 0.5
"""Root mean square of an update at rate 1. Liu et al. use 0.2, as large as Adam's; but at one rate
for both, the small tasks are learned sooner if matrices move further than other parameters."""


class Muon:
    """Momentum, made orthogonal before it is added to the weights (Jordan et al., 2024).

    All singular values of an update are about 1, so a gradient's largest directions do not
    dominate. Muon updates the matrices inside the layers; Adam updates embeddings, of which a batch
    changes only some rows, and the output, biases and gains. An update of an n x m matrix is scaled
    by √max(n, m), as in Liu et al. (2025), so that Muon and Adam can use the same rate.

    state: of each matrix that had an update, "momentum"; of the others as in :class:`Adam`.
    """

    def __init__(self, matrices: Iterable[Tensor], others: Adam) -> None:
        self.matrices = list(matrices)
        self.others = others
        self.state = others.state

    def zero_grad(self) -> None:
        for parameter in self.matrices:
            parameter.grad = None
        self.others.zero_grad()

    @torch.no_grad()
    def step(self, rate: float, precision: str = "fp32") -> None:
        """One update, at the learning rate ``rate``, of all parameters that have a gradient.

        precision: of the products that make matrices orthogonal, "fp32" or "bf16".
        """
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for parameter in self.matrices:
            if parameter.grad is not None:
                by_shape.setdefault(parameter.shape, []).append(parameter)
        for shape, alike in by_shape.items():
            directions = torch.stack([self._direction(one) for one in alike])
            updates = orthogonal(directions.to(dtype)).to(directions.dtype)
            updates *= -rate * LIKE_ADAM * max(shape) ** 0.5
            shrink(alike, rate * self.others.decay)
            torch._foreach_add_(alike, list(updates.unbind()))
        self.others.step(rate)

    def _direction(self, parameter: Tensor) -> Tensor:
        """Nesterov momentum: adds the gradient to the momentum, and returns it one step ahead."""
        assert parameter.grad is not None
        slot = self.state.setdefault(parameter, {})
        if "momentum" not in slot:
            slot["momentum"] = torch.zeros_like(parameter)
        momentum = slot["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        return parameter.grad.lerp(momentum, MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """Approximately UVᵀ of each matrix UΣVᵀ: its singular values become 0.73 to 1.27, except
    those below about a hundredth of the largest, which become smaller.

    The Newton-Schulz iteration: only products, batched over matrices of one shape.

    Args:
        matrices: [batch, row, column]
    """
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT.contiguous() if tall else matrices
    x = x / (x.abs().amax(dim=(1, 2), keepdim=True) + 1e-30)  # so that squares do not overflow
    square = torch.bmm(x, x.mT)
    # √‖XXᵀ‖ is at least the largest singular value, and a much closer bound than ‖X‖.
    # The margin is for rounding: above 1, the polynomials soon diverge.
    margin = 1 + 4 * torch.finfo(x.dtype).eps
    length = square.square().sum(dim=(1, 2), keepdim=True).sqrt() * margin + 1e-30
    x, square = x / length.sqrt(), square / length
    for number, (a, b, c) in enumerate(POLYNOMIALS):
        if number > 0:
            square = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


def clip_gradients(parameters: Sequence[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients by one factor, so that their total norm is at most ``max_norm``.

    Equal to ``nn.utils.clip_grad_norm_`` bit for bit; but on the CPU, gradients whose factor is 1
    are not multiplied. On a graphics card, reading the norm would wait for the card.

    Returns:
        the total norm before, [] float32
    """
    norm = nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None])
    if norm.device.type != "cpu" or not max_norm / (norm + 1e-6) >= 1:  # the factor, or NaN
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


class Optimizer(Protocol):
    """The interface of Adam and Muon that the training loop uses."""

    state: dict[Tensor, dict[str, Tensor]]

    def zero_grad(self) -> None: ...

    def step(self, rate: float, precision: str = "fp32") -> None: ...


def optimizer_of(model: nn.Module, config: TrainingConfig) -> Optimizer:
    """The optimizer that a run's settings ask for, over all parameters of a model."""
    named = dict(model.named_parameters())
    optimizes = practice_of(config.fault).optimizes
    named = {name: one for name, one in named.items() if optimizes(name)}
    matrices = _matrices(named) if config.optimizer == "muon" else []
    apart = set(matrices)
    adam = Adam(
        [one for one in named.values() if one not in apart],
        (config.adam_beta1, config.adam_beta2),
        config.adam_eps,
        config.weight_decay,
    )
    return Muon(matrices, adam) if matrices else adam


def _matrices(named: dict[str, nn.Parameter]) -> Sequence[Tensor]:
    """The matrices inside the layers: no embeddings, learned positions or output."""
    return [
        parameter
        for name, parameter in named.items()
        if parameter.dim() == 2 and name.startswith(("encoder.", "decoder."))
    ]

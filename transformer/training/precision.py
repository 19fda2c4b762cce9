"""Choosing a run's precision: float32, or bfloat16 if a trial finds it to be faster.

Weights, gradients, Adam, evaluation and saved files are float32 either way; the model's code does
not depend on the choice.
"""

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from transformer.training.batches import Batch
from transformer.training.compute import Compute
from transformer.training.cuda_graphs import GraphedBackward
from transformer.training.fast_model import FastModel
from transformer.training.gradient import LossOf
from transformer.training.gradient import backward as differentiate

FASTER = 1.2
"""bfloat16 must be at least this many times as fast: less is not worth the lost digits."""
AGREEMENT = 0.02
"""Largest relative difference between the losses in both precisions."""
ROUNDS = 5
SECONDS = 0.3
"""No further round of the trial begins after this time."""
LOST = 2
"""No further round once bfloat16 was slower in this many: those until then decide."""
BATCHES = 2
"""Number of batches that the trial uses in turn."""


def has_bf16(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic, rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def decide(
    wanted: str,
    model: FastModel,
    batches: Sequence[Batch],
    loss_of: LossOf,
    device: torch.device,
    graphed: bool = False,
) -> Compute:
    """Choose the precision to train in.

    Args:
        wanted: "fp32", "bf16", or "auto": whichever is measured to be faster.
        batches: of the run, on the device.
        graphed: whether the run, and so the trial, replays CUDA graphs.
    """
    native = has_bf16(device)
    if wanted != "auto":
        why = "as its settings ask"
        if wanted == "bf16" and not native:
            why += ", though it only imitates bfloat16 and would be faster in float32"
        return Compute(device.type, wanted, why)
    if not native:  # without a trial: emulated bfloat16 could take many seconds
        return Compute(device.type, "fp32", "it has no bfloat16 arithmetic of its own")
    return measure(model, batches, loss_of, device, graphed=graphed)


def measure(
    model: FastModel,
    batches: Sequence[Batch],
    loss_of: LossOf,
    device: torch.device,
    seconds: float = SECONDS,
    graphed: bool = False,
) -> Compute:
    """Time both precisions on a copy of the model; model and random state are unchanged."""
    cuda = [device] if device.type == "cuda" else []
    times: dict[str, list[float]] = {"fp32": [], "bf16": []}
    losses = {"fp32": 0.0, "bf16": 0.0}
    try:
        with torch.random.fork_rng(cuda):
            scratch = copy.deepcopy(model).train()
            passes = {kind: _pass(scratch, loss_of, kind, graphed) for kind in times}
            # Warm-up on each batch once, or twice with graphs, which are recorded the second time.
            warming_up = len(batches) * (2 if graphed else 1)
            began = time.perf_counter()
            for number in range(warming_up + ROUNDS):
                warm = number >= warming_up
                lost = sum(b > f for f, b in zip(times["fp32"], times["bf16"], strict=True))
                if times["bf16"] and (time.perf_counter() - began > seconds or lost == LOST):
                    break
                for precision, taken in times.items():
                    torch.manual_seed(number)  # the same dropout in both
                    scratch.zero_grad()
                    start = time.perf_counter()
                    loss = passes[precision](batches[number % len(batches)])
                    losses[precision] += loss.item()
                    if cuda:
                        torch.cuda.synchronize(device)
                    if warm:
                        taken.append(time.perf_counter() - start)
    except RuntimeError:  # no kernel, or no memory for the copy: a trial must not end the run
        return Compute(device.type, "fp32", "a trial of bfloat16 did not succeed")
    return choose(device.type, times["fp32"], times["bf16"], losses["fp32"], losses["bf16"])


def _pass(
    model: FastModel, loss_of: LossOf, precision: str, graphed: bool
) -> Callable[[Batch], Tensor]:
    """Forward and backward pass of a batch; returns its loss."""

    def backward(batch: Batch, scale: float | Tensor) -> Tensor:
        return differentiate(model, batch, loss_of, precision, scale)

    return partial(GraphedBackward(backward, model) if graphed else backward, scale=1.0)


def choose(
    device: str,
    fp32_times: Sequence[float],
    bf16_times: Sequence[float],
    fp32_loss: float,
    bf16_loss: float,
) -> Compute:
    """The choice that follows from times (seconds per batch) and losses (nats)."""
    fp32, bf16 = statistics.median(fp32_times), statistics.median(bf16_times)
    ratio = fp32 / bf16
    # Written so that NaN counts as a disagreement.
    if not abs(bf16_loss - fp32_loss) <= AGREEMENT * abs(fp32_loss):
        return Compute(device, "fp32", "in bfloat16 the loss came out differently", fp32, bf16)
    if ratio < FASTER:
        why = f"bfloat16 was only {ratio:.2f} times as fast in a trial at the start"
        return Compute(device, "fp32", why, fp32, bf16)
    why = f"{ratio:.1f} times as fast as float32 in a trial at the start"
    return Compute(device, "bf16", why, fp32, bf16)

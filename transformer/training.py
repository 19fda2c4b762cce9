"""The training loop: schedule, loss, evaluation, updates. It knows nothing of the architecture.

:func:`train` is a generator. It yields what happens, step by step, and whoever drains it
decides what to write down and when to stop.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transformer.batches import Batch, by_length, collate, encode, training_batches
from transformer.config import TrainingConfig
from transformer.decoding import decode, greedy, pad
from transformer.model import Transformer
from transformer.tasks import Pair, Task

EVAL_BATCH = 256


class DivergedError(RuntimeError):
    """The loss, the gradient or the weights are no longer finite numbers."""

    def __init__(self) -> None:
        super().__init__(
            "The loss is no longer a finite number. Lower the learning rate, or lengthen the "
            "warm-up."
        )


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


def cross_entropy(
    logits: Tensor, target_out: Tensor, pad_id: int, smoothing: float = 0.0
) -> Tensor:
    """Mean loss in nats over the real target tokens, label-smoothed as in section 5.4.

    PyTorch spreads the smoothed share over the whole vocabulary, <pad> included.

    Args:
        logits: [batch, target, vocabulary]
        target_out: ids, [batch, target]
    """
    return F.cross_entropy(
        logits.flatten(0, 1), target_out.flatten(), ignore_index=pad_id, label_smoothing=smoothing
    )


@dataclass(frozen=True)
class Update:
    """One update of the weights. Loss in nats a token, tokens since the start."""

    step: int
    loss: float
    learning_rate: float
    tokens: int


@dataclass(frozen=True)
class Loss:
    """Teacher-forced evaluation: loss in nats a token, share of tokens predicted right."""

    step: int
    loss: float
    token_accuracy: float


@dataclass(frozen=True)
class Outputs:
    """Free-running evaluation: what the model writes, greedily, and the share that is right.

    outputs: as text; tokens: the same, cut as the model wrote it.
    """

    step: int
    exact_match: float
    outputs: list[str]
    tokens: list[list[str]]


Event = Update | Loss | Outputs


@torch.inference_mode()
def evaluate_loss(model: Transformer, task: Task, pairs: Sequence[Pair], step: int) -> Loss:
    """Loss and token accuracy with the true target as the decoder's input.

    Raises:
        DivergedError: the loss is not finite.
    """
    model.eval()
    total = right = tokens = 0.0
    for group in by_length(encode(task, pairs), EVAL_BATCH):
        batch = collate(group, model.config).to(_device(model))
        logits = model(batch.source, batch.target_in)
        real = batch.target_out != model.config.pad_id
        count = real.sum().item()
        total += cross_entropy(logits, batch.target_out, model.config.pad_id).item() * count
        right += (logits.argmax(dim=-1) == batch.target_out)[real].sum().item()
        tokens += count
    if not math.isfinite(total):
        raise DivergedError
    return Loss(step, total / tokens, right / tokens)


def evaluate_outputs(model: Transformer, task: Task, pairs: Sequence[Pair], step: int) -> Outputs:
    """Exact match of what the model writes by itself, token by token."""
    model.eval()
    sources = [task.source_vocabulary.encode(pair.source) for pair in pairs]
    longest = max(len(task.target_vocabulary.encode(pair.target)) for pair in pairs)
    # One token more than the longest target: whatever is still going on then is wrong anyway.
    strategy = partial(greedy, max_length=longest + 2)
    outputs, tokens = [""] * len(pairs), [[""]] * len(pairs)
    order = sorted(range(len(pairs)), key=lambda i: len(sources[i]))
    for start in range(0, len(order), EVAL_BATCH):
        rows = order[start : start + EVAL_BATCH]
        ids = pad([[*sources[i], model.config.eos_id] for i in rows], model.config.pad_id)
        for i, found in zip(rows, decode(model, ids.to(_device(model)), strategy), strict=True):
            outputs[i] = task.target_vocabulary.decode(found.tokens)
            tokens[i] = task.target_vocabulary.tokens_of(found.tokens)
    right = sum(map(task.is_right, pairs, outputs))
    return Outputs(step, right / len(pairs), outputs, tokens)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def train(model: Transformer, task: Task, config: TrainingConfig) -> Iterator[Event]:
    """Train a freshly made model; yields what happens as it happens.

    Step 0 is evaluated before any update: that is the untrained baseline. The generator ends
    after ``config.steps`` updates, or once the evaluation loss is below ``config.until_loss``.

    Raises:
        DivergedError: the loss is not finite. The weights before that update are kept.
    """
    # The baseline uses the pairs of the last evaluation, with which it is compared.
    baseline = task.held_out(config.final_examples)
    yield evaluate_loss(model, task, baseline, 0)
    yield evaluate_outputs(model, task, baseline, 0)
    held_out = task.held_out(config.eval_examples)
    # After the first evaluation: importing the optimiser takes over a second, and nobody
    # should wait for the baseline that long.
    optimizer = torch.optim.Adam(
        model.parameters(), betas=(config.adam_beta1, config.adam_beta2), eps=config.adam_eps
    )
    tokens = 0
    for step, batch in enumerate(training_batches(task, model.config, config), start=1):
        rate = learning_rate(step, config)
        loss = _update(model, batch.to(_device(model)), optimizer, rate, config)
        tokens += batch.tokens
        yield Update(step, loss, rate, tokens)
        if step % config.eval_every == 0 and step < config.steps:
            evaluation = evaluate_loss(model, task, held_out, step)
            yield evaluation
            if evaluation.loss < config.until_loss:
                return
            yield evaluate_outputs(model, task, held_out, step)
        if step == config.steps:
            return


def _update(
    model: Transformer,
    batch: Batch,
    optimizer: "torch.optim.Adam",
    rate: float,
    config: TrainingConfig,
) -> float:
    """One step of Adam (section 5.3) on one batch; returns its loss."""
    model.train()
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    logits = model(batch.source, batch.target_in)
    loss = cross_entropy(
        logits, batch.target_out, model.config.pad_id, smoothing=config.label_smoothing
    )
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise DivergedError
    optimizer.step()
    return loss.item()

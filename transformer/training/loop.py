"""The training loop: loss, evaluation, updates. It does not depend on the architecture.

:meth:`Training.events` is a generator. It yields what happens, step by step, and the caller
decides what to record, when to save and when to stop.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transformer.config import TrainingConfig
from transformer.decoding.many import decode_all
from transformer.decoding.strategies import Greedy
from transformer.errors import ConfigError
from transformer.faults import CORRECT, TrainingPractice, practice_of
from transformer.model import Transformer
from transformer.tasks import Pair, Task
from transformer.training.batches import Batch, Share, by_length, collate, encode, training_batches
from transformer.training.compute import Compute
from transformer.training.cuda_graphs import GraphedBackward
from transformer.training.distributed import ALONE, World
from transformer.training.fast_model import FastModel, Forward
from transformer.training.gradient import backward
from transformer.training.optimizer import clip_gradients, learning_rate, optimizer_of
from transformer.training.precision import BATCHES, decide
from transformer.training.threads import available, measure

EVAL_BATCH = 128
"""Pairs evaluated together: intermediate results of more would not fit into a processor's cache."""


class DivergedError(RuntimeError):
    """The loss, the gradient or the weights are no longer finite numbers."""

    def __init__(self) -> None:
        super().__init__(
            "The loss is no longer a finite number. Lower the learning rate, or lengthen the "
            "warm-up."
        )


def cross_entropy(
    logits: Tensor,
    target_out: Tensor,
    pad_id: int,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Loss in nats, the mean over the real target tokens, label-smoothed as in section 5.4.

    PyTorch spreads the smoothed share over the whole vocabulary, <pad> included. Tokens are taken
    in the order of ``logits`` in memory, since another order would need a copy.

    Args:
        logits: [batch, target, vocabulary], or [row, vocabulary]
        target_out: ids, [batch, target], or those of the rows
        reduction: "mean", or "sum" over the real target tokens.
    """
    if not logits.is_contiguous():
        logits, target_out = logits.transpose(0, 1), target_out.t()
    return F.cross_entropy(
        logits.flatten(0, -2),
        target_out.flatten(),
        ignore_index=pad_id,
        label_smoothing=smoothing,
        reduction=reduction,
    )


NO_ID = -100
"""An id that no token has, so that no target is ignored."""


def training_loss(
    logits: Tensor,
    target_out: Tensor,
    pad_id: int,
    practice: TrainingPractice = CORRECT,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """:func:`cross_entropy`, with the errors that a faulty practice makes in the loss."""
    if practice.takes_softmax:
        logits = torch.softmax(logits, dim=-1)
    if practice.counts_padding:
        pad_id = NO_ID
    return cross_entropy(logits, target_out, pad_id, smoothing, reduction)


@dataclass(frozen=True)
class Update:
    """One update of the weights. Loss in nats per token, tokens since the start."""

    step: int
    loss: float
    learning_rate: float
    tokens: int


@dataclass(frozen=True)
class Loss:
    """Teacher-forced evaluation: loss in nats per token, share of tokens predicted right."""

    step: int
    loss: float
    token_accuracy: float


@dataclass(frozen=True)
class Outputs:
    """Free-running evaluation: what the model writes, greedily, and the share that is right.

    outputs: as text; tokens: the same as the tokens that the model wrote.
    """

    step: int
    exact_match: float
    outputs: list[str]
    tokens: list[list[str]]


@dataclass(frozen=True)
class StepEnd:
    """A step is complete: a snapshot that is saved now resumes exactly from here."""

    step: int


@dataclass(frozen=True)
class Begin:
    """Device, precision and threads are decided; the first update comes next."""

    step: int
    compute: Compute


Event = Update | Loss | Outputs | StepEnd | Begin


@torch.inference_mode()
def evaluate_loss(
    model: Transformer,
    task: Task,
    pairs: Sequence[Pair],
    step: int,
    practice: TrainingPractice = CORRECT,
) -> Loss:
    """Loss and token accuracy with the true target as the decoder's input.

    Args:
        practice: makes batches and loss, perhaps with faults.

    Raises:
        DivergedError: the loss is not finite.
    """
    model.eval()
    fast_model = FastModel(model)
    total = right = tokens = 0.0
    for group in by_length(encode(task, pairs), EVAL_BATCH):
        batch = collate(group, model.config, practice).to(_device(model))
        logits = fast_model(batch.source, batch.target_in)
        real = batch.target_out != model.config.pad_id
        count = real.sum().item()
        loss = training_loss(logits, batch.target_out, model.config.pad_id, practice)
        total += loss.item() * count
        right += (logits.argmax(dim=-1) == batch.target_out)[real].sum().item()
        tokens += count
    if not math.isfinite(total):
        raise DivergedError
    return Loss(step, total / tokens, right / tokens)


def evaluate_outputs(model: Transformer, task: Task, pairs: Sequence[Pair], step: int) -> Outputs:
    """Exact match of what the model writes by itself, token by token."""
    model.eval()
    encode = task.source_vocabulary.encode
    sources = [model.config.framed(encode(pair.source)) for pair in pairs]
    longest = max(len(task.target_vocabulary.encode(pair.target)) for pair in pairs)
    # One token more than the longest target: an output that has not ended by then is wrong anyway.
    found = decode_all(model, sources, Greedy(max_length=longest + 2))
    outputs = [task.target_vocabulary.decode(one.tokens) for one in found]
    tokens = [task.target_vocabulary.tokens_of(one.tokens) for one in found]
    right = sum(map(task.is_right, pairs, outputs))
    return Outputs(step, right / len(pairs), outputs, tokens)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


class Training:
    """A model in training: everything that its next update depends on.

    Attributes:
        step: updates made. tokens: source and target positions trained on.
        precision: of the updates, "fp32" or "bf16"; "" until it is decided.
        threads: number of threads of the updates; 0 until a trial chooses it, if the settings
            leave that open.
    """

    def __init__(
        self,
        model: Transformer,
        task: Task,
        config: TrainingConfig,
        world: World = ALONE,
        most_threads: int = 0,
    ) -> None:
        """most_threads: the most that a trial may choose; 0: the number of cores."""
        if config.fault and world.size > 1:
            raise ConfigError("A model with a planted fault is trained by one process alone.")
        self.practice = practice_of(config.fault)
        self.model = model
        self.fast_model = FastModel(model)
        self._parameters = list(model.parameters())
        self.task = task
        self.config = config
        self.world = world
        self.precision = ""
        self.threads = config.threads
        self.most_threads = min(most_threads or available(), available())
        self.step = 0
        self.tokens = 0
        self._restored = False
        self.optimizer = optimizer_of(model, config)
        self._called: nn.Module | None = None
        self._graphed = None
        if world.device.type == "cuda" and world.size == 1 and not config.fault:
            self._graphed = GraphedBackward(self._backward, self.fast_model)

    def events(self) -> Iterator[Event]:
        """Train from the present step on; yields events as they happen.

        Step 0 is evaluated before any update: that is the untrained baseline. The generator
        ends after ``config.steps`` updates, or once the evaluation loss is below
        ``config.until_loss``. Only the main process evaluates.

        Raises:
            DivergedError: the loss is not finite. The weights before that update are kept.
        """
        try:
            yield from self._events()
        finally:
            # Free the wrapper that averages gradients while the processes are still joined. If it
            # were the last to hold their connection, PyTorch would close that while holding the
            # GIL, for which a thread of the connection may wait: a deadlock.
            self._called = None

    def _events(self) -> Iterator[Event]:
        config = self.config
        if not self._restored:
            if self.world.is_main:
                # The baseline uses the pairs of the last evaluation, with which it is compared.
                baseline = self.task.held_out(config.final_examples)
                yield evaluate_loss(self.model, self.task, baseline, 0, self.practice)
                yield evaluate_outputs(self.model, self.task, baseline, 0)
            yield StepEnd(0)
        held_out = self.task.held_out(config.eval_examples)
        shares = training_batches(
            self.task,
            self.model.config,
            config,
            start=self.step,
            rank=self.world.rank,
            size=self.world.size,
        )
        if not self.precision:  # only now, so that trials do not delay the baseline
            tried = list(islice(shares, BATCHES))
            shares = chain(tried, shares)
            yield from self._choose_compute(tried)
        if not config.threads:
            torch.set_num_threads(self.threads)
        share = next(shares)
        while self.step < config.steps:
            total, norm = self.differentiate(share)
            upcoming = next(shares)  # a graphics card still computes: nothing has waited for it yet
            yield self._update(share, total, norm)
            share = upcoming
            if self.step % config.eval_every == 0 and self.step < config.steps:
                verdict = ""
                if self.world.is_main:
                    evaluation = evaluate_loss(
                        self.model, self.task, held_out, self.step, self.practice
                    )
                    yield evaluation
                    verdict = "enough" if evaluation.loss < config.until_loss else "go on"
                if self.world.broadcast(verdict) == "enough":
                    return
                if self.world.is_main:
                    yield evaluate_outputs(self.model, self.task, held_out, self.step)
            yield StepEnd(self.step)

    def _choose_compute(self, tried: Sequence[Share]) -> Iterator[Begin]:
        """Decide precision and threads with these batches; the main process decides for all."""
        alone = self.world.size == 1 and self.world.device.type == "cpu"
        if not self.threads and not alone:  # trials in several processes would disturb each other
            self.threads = max(1, self.most_threads // self.world.size)
        if not self.world.is_main:
            self.precision = self.world.broadcast("")
            return
        device = self.world.device
        batches = [share.batch.to(device) for share in tried]
        graphed = self._graphed is not None
        found = decide(self.config.precision, self.fast_model, batches, self.loss, device, graphed)
        self.precision = self.world.broadcast(found.precision)
        if not self.threads:
            found = self._choose_threads(found, batches)
        yield Begin(self.step, found)

    def _choose_threads(self, found: Compute, batches: Sequence[Batch]) -> Compute:
        """Decide the threads. In float32, threads can gain so much more (:mod:`gradient`) that it
        is faster than bfloat16 although one thread is not.
        """
        choice = measure(self.fast_model, batches, self._differentiate, self.most_threads)
        if found.bf16_seconds and found.precision == "bf16" and self.most_threads > 1:
            self.precision = "fp32"
            fp32 = measure(self.fast_model, batches, self._differentiate, self.most_threads)
            if found.fp32_seconds / fp32.gain < found.bf16_seconds / choice.gain:
                why = f"{fp32.threads} threads were faster than {choice.threads} in bfloat16"
                choice, found = fp32, replace(found, precision="fp32", why=why)
            self.precision = found.precision
        self.threads = choice.threads
        return replace(found, threads=choice.threads, threads_why=choice.why)

    def differentiate(self, share: Share) -> tuple[Tensor, Tensor]:
        """Leave the gradient of a batch, of which ``share`` is this process's part, in the
        parameters.

        Returns:
            the loss summed over the whole batch, and the gradient's norm before it was clipped
        """
        if not self.model.training:
            self.model.train()
        if self.practice.zeroes_gradients:
            self.optimizer.zero_grad()
        # Each process has a part of the batch's sum, but gradients are averaged over processes:
        # multiplying by their number makes it a sum again.
        scale = self.world.size / share.targets
        if self._graphed is not None:
            total = self._graphed(share.batch, scale)
        else:
            total = self._backward(share.batch.to(self.world.device), scale)
        norm = clip_gradients(self._parameters, self.config.gradient_clip)
        return self.world.sum(total), norm

    def _backward(self, batch: Batch, scale: float | Tensor) -> Tensor:
        """Add the gradient of a batch's loss, times ``scale``, to the parameters."""
        if self._called is None:
            self._called = self.world.wrap(self.fast_model)
        return self._differentiate(self._called, batch, scale)

    def _differentiate(self, model: nn.Module, batch: Batch, scale: float | Tensor = 1.0) -> Tensor:
        # A faulty practice may count padding, and parts of a batch would have less of it.
        threads = 0 if self.config.fault else torch.get_num_threads()
        return backward(model, batch, self.loss, self.precision, scale, threads)

    def _update(self, share: Share, total: Tensor, norm: Tensor) -> Update:
        """One step of the optimizer (section 5.3: Adam) with that gradient."""
        rate = learning_rate(self.step + 1, self.config)
        loss = total.item() / share.targets
        if not (math.isfinite(loss) and torch.isfinite(norm)):
            raise DivergedError
        self.optimizer.step(rate, self.precision)
        self.step += 1
        self.tokens += share.tokens
        return Update(self.step, loss, rate, self.tokens)

    def loss(self, model: Forward, batch: Batch, precision: str) -> Tensor:
        """The loss summed over this process's part of a batch, in nats.

        bf16 is for the matrix products: their results are added up, normalised and compared with
        the target in float32.
        """
        pad_id = self.model.config.pad_id
        with torch.autocast(self.world.device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = model(batch.source, batch.target_in)
        smoothing = self.config.label_smoothing
        return training_loss(
            logits.float(), batch.target_out, pad_id, self.practice, smoothing, reduction="sum"
        )

    def state(self) -> dict[str, Tensor]:
        """Everything besides the weights that the next update depends on, as named tensors.

        "OPTIMIZER.NAME.KEY" of every parameter, and "rng.RANK" of every process. All processes
        must call it at the same point.
        """
        state = {}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"{self.config.optimizer}.{name}.{key}"] = value.cpu()
        for rank, rng in enumerate(self.world.gather(_rng(self.world.device))):
            state[f"rng.{rank}"] = rng
        return state

    def restore(
        self,
        step: int,
        tokens: int,
        state: Mapping[str, Tensor],
        precision: str = "fp32",
        threads: int = 0,
    ) -> None:
        """Continue from a saved state; the model must have its weights already.

        Args:
            precision: of the updates; "" if there were none.
            threads: of the updates, if a trial chose their number.
        """
        self.step, self.tokens, self._restored = step, tokens, True
        self.precision = precision
        if precision and not self.config.threads:
            self.threads = max(1, min(threads, self.most_threads))
        for name, parameter in self.model.named_parameters():
            prefix = f"{self.config.optimizer}.{name}."
            found = {
                key.removeprefix(prefix): value.to(parameter.device, copy=True)
                for key, value in state.items()
                if key.startswith(prefix)
            }
            if found:
                self.optimizer.state[parameter] = found
        rng = state.get(f"rng.{self.world.rank}")
        if rng is None:  # saved by fewer processes: their random numbers must at least differ
            torch.manual_seed(self.config.seed + step + 7919 * self.world.rank)
        else:
            _set_rng(self.world.device, rng)


def _rng(device: torch.device) -> Tensor:
    """The state of the generator that dropout draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_rng(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def train(model: Transformer, task: Task, config: TrainingConfig) -> Iterator[Event]:
    """Train a new model in this process alone; yields events as they happen."""
    return Training(model, task, config).events()

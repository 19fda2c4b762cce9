"""The overfit check: a small model, built like the run's, memorises eight of the run's pairs.

If the loss goes to zero on a few pairs, and the model then writes each of them from its source
alone, nothing in its construction prevents learning. The check takes a second or two for a run of
any size.

The small model has the run's code and every choice of its architecture (norms, activation, ties,
positions) and trains with the run's own settings (optimizer, learning rate, warm-up, clipping), but
without what works against memorising (dropout, label smoothing). Its size is fixed: width 64, at
most 2 + 2 layers and 4 heads, and only the tokens that occur in the eight pairs. So the check costs
the same for any width and vocabulary.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import torch

from transformer.config import RunConfig, TrainingConfig, TransformerConfig
from transformer.decoding.steps import pad
from transformer.decoding.strategies import Greedy, decode
from transformer.errors import CheckpointError, ConfigError
from transformer.faults import plant_of_run, practice_of
from transformer.model import Transformer
from transformer.runs.goals import NEAR_ZERO, OverfitCheck
from transformer.tasks import Pair, Task
from transformer.training.batches import Encoded, collate, encode
from transformer.training.fast_model import FastModel
from transformer.training.loop import training_loss
from transformer.training.optimizer import clip_gradients, optimizer_of

PAIRS = 8
WIDTH, LAYERS, HEADS = 64, 2, 4
SHORT = 24
"""Most tokens of a source or target; longer pairs are taken only if there are too few others."""
STEPS = 400
"""Most updates. Usually 40 to 100 are enough; a low learning rate needs more."""
WARMUP = 20
"""Most updates of the warm-up: one of thousands would not end within the check."""
CPU_SECONDS, SECONDS = 6.0, 20.0
"""Limits of processor time and of wall time: a run must not wait long for the check.

The limit of processor time is lower, so that a busy machine hardly changes where the check ends.
"""


def run_overfit_check(
    config: RunConfig, task: Task, cpu_seconds: float = CPU_SECONDS
) -> OverfitCheck:
    """Train and test the small model on the CPU.

    Unless it is cut short, the result is deterministic except for its ``seconds``: random numbers
    come from the run's seed. The global random state is restored.

    Args:
        cpu_seconds: limit of processor time.
    """
    started, cpu_started = time.monotonic(), time.process_time()
    pairs = choose_pairs(config, task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        encoded, model_config = _shrink(config.model, encode(task, pairs))
        model = Transformer(model_config)
        with suppress(ConfigError):  # such as shared layers, if the small model has only one
            plant_of_run(model, config.training.fault)
        curve: list[list[float]] = []
        steps, loss = 0, math.nan
        for steps, loss in _losses(model, encoded, config.training):
            if math.isfinite(loss) and _is_logged(steps):
                curve.append([steps, round(loss, 6)])
            cut_short = (
                time.process_time() - cpu_started > cpu_seconds
                or time.monotonic() - started > SECONDS
            )
            if not math.isfinite(loss) or loss < NEAR_ZERO or cut_short:
                break
        if math.isfinite(loss) and not _is_logged(steps):
            curve.append([steps, round(loss, 6)])
        right = _count_right(model, encoded)
    return OverfitCheck(
        pairs=len(pairs),
        right=right,
        curve=curve,
        loss=round(loss, 6) if math.isfinite(loss) else None,
        steps=steps,
        seconds=round(time.monotonic() - started, 2),
        cut_short=cut_short and steps < STEPS and not loss < NEAR_ZERO,
    )


def choose_pairs(config: RunConfig, task: Task) -> list[Pair]:
    """The run's first eight training pairs with different sources, short ones if there are enough.

    A source with two targets could not be memorised.
    """
    epoch = task.epoch(config.training.seed, 0, config.training.batch_size)
    found: dict[str, Pair] = {}
    long: dict[str, Pair] = {}
    for pair in epoch:
        sides = (task.source_vocabulary.cut(pair.source), task.target_vocabulary.cut(pair.target))
        (found if max(map(len, sides)) <= SHORT else long).setdefault(pair.source, pair)
        if len(found) == PAIRS:
            break
        if len(long) == 64 * PAIRS:  # a file of long texts: look no further
            break
    by_length = sorted(long.values(), key=lambda pair: len(pair.source) + len(pair.target))
    return [*found.values(), *by_length][:PAIRS]


def _shrink(
    config: TransformerConfig, encoded: Sequence[Encoded]
) -> tuple[list[Encoded], TransformerConfig]:
    """The pairs with ids from a vocabulary of their own tokens, and the small model's config."""
    special = [config.pad_id, config.bos_id, config.eos_id, config.unk_id, config.decoder_start_id]
    sources, targets = ({i for pair in encoded for i in pair[side]} for side in range(2))
    if config.share_embeddings:
        sources = targets = sources | targets
    tokens = [list(dict.fromkeys([*special, *sorted(side)])) for side in (sources, targets)]
    # The special ids come first on both sides, in the same order.
    ids = [{old: new for new, old in enumerate(side)} for side in tokens]
    small = [
        ([ids[0][token] for token in source], [ids[1][token] for token in target])
        for source, target in encoded
    ]
    longest = max(len(side) for pair in small for side in pair)
    heads = next(n for n in (HEADS, 2, 1) if n <= config.num_heads)
    return small, config.replace(
        source_vocab_size=max(5, len(tokens[0])),
        target_vocab_size=max(5, len(tokens[1])),
        d_model=WIDTH,
        d_ff=4 * WIDTH,
        num_heads=heads,
        num_encoder_layers=min(config.num_encoder_layers, LAYERS),
        num_decoder_layers=min(config.num_decoder_layers, LAYERS),
        dropout=0.0,
        max_length=max(2, longest + 2),
        **{
            name: ids[1][getattr(config, name)]
            for name in ("pad_id", "bos_id", "eos_id", "unk_id", "decoder_start_id")
        },
    )


def _losses(
    model: Transformer, encoded: Sequence[Encoded], training: TrainingConfig
) -> Iterator[tuple[int, float]]:
    """Step and loss, from step 0 on; each loss is measured before that step's update."""
    practice = practice_of(training.fault)
    batch = collate(encoded, model.config, practice)
    optimizer = optimizer_of(model, training)
    warmup = max(1, min(training.warmup_steps, WARMUP)) if practice.warms_up else 1
    rate = practice.rate_factor * training.learning_rate
    fast_model, parameters = FastModel(model.train()), list(model.parameters())
    for step in range(STEPS + 1):
        logits = fast_model(batch.source, batch.target_in)
        loss = training_loss(logits, batch.target_out, model.config.pad_id, practice)
        yield step, loss.item()
        if practice.zeroes_gradients:
            optimizer.zero_grad()
        loss.backward()
        clip_gradients(parameters, training.gradient_clip)
        optimizer.step(rate * min(1.0, (step + 1) / warmup))


def _is_logged(step: int) -> bool:
    """Whether a step is in the curve: every step at first, then every fifth are enough."""
    return step <= 20 or step % 5 == 0


def _count_right(model: Transformer, encoded: Sequence[Encoded]) -> int:
    """How many of its pairs the model writes exactly, greedily, from the sources alone."""
    eos = model.config.eos_id
    source = pad([model.config.framed(source) for source, _ in encoded], model.config.pad_id)
    longest = max(len(target) for _, target in encoded)
    try:
        written = decode(model.eval(), source, Greedy(max_length=longest + 2))
    except CheckpointError:  # its numbers overflow
        return 0
    return sum(
        list(found.tokens) == [*target, eos]
        for found, (_, target) in zip(written, encoded, strict=True)
    )

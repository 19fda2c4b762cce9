"""Pairs as padded batches of ids, texts of similar length together."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from transformer.config import TrainingConfig, TransformerConfig
from transformer.decoding.steps import pad
from transformer.faults import CORRECT, TrainingPractice, practice_of
from transformer.tasks import Pair, Task

POOL = 32
"""Number of batches whose pairs bucketing sorts by length together, which leaves little padding."""


class Batch(NamedTuple):
    """Padded ids.

    source: [batch, source], with the special tokens of ``config.source_frame``, mostly <eos>.
    target_in: [batch, target], the decoder's input: the start token and then the target.
    target_out: [batch, target], the correct output: the target and then <eos>.
    """

    source: Tensor
    target_in: Tensor
    target_out: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(ids.to(device) for ids in self))


Encoded = tuple[list[int], list[int]]
"""Ids of a source and of its target, without special tokens."""


def encode(task: Task, pairs: Sequence[Pair]) -> list[Encoded]:
    return [
        (task.source_vocabulary.encode(source), task.target_vocabulary.encode(target))
        for source, target in pairs
    ]


def collate(
    encoded: Sequence[Encoded], config: TransformerConfig, practice: TrainingPractice = CORRECT
) -> Batch:
    """One padded batch of the pairs; a faulty practice may change inputs and targets."""
    sources = [config.framed(source) for source, _ in encoded]
    inputs = [[config.decoder_start_id, *target] for _, target in encoded]
    outputs = [[*target, config.eos_id] for _, target in encoded]
    if practice is not CORRECT:
        rows = [practice.targets(*row, config) for row in zip(inputs, outputs, strict=True)]
        inputs, outputs = [read for read, _ in rows], [asked for _, asked in rows]
    return Batch(*(pad(rows, config.pad_id) for rows in (sources, inputs, outputs)))


def by_length(encoded: Sequence[Encoded], size: int) -> list[list[Encoded]]:
    """Groups of up to ``size`` pairs of similar length, for evaluation; order is not kept."""
    ordered = sorted(encoded, key=lambda pair: (len(pair[1]), len(pair[0])))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


@dataclass(frozen=True)
class Share:
    """One process's part of the batch of an update.

    batch: its rows.
    targets: real target tokens of the whole batch, over which the loss is averaged.
    tokens: source and target positions of the whole batch, padding included.
    """

    batch: Batch
    targets: int
    tokens: int


def training_batches(
    task: Task,
    config: TransformerConfig,
    training: TrainingConfig,
    *,
    start: int = 0,
    rank: int = 0,
    size: int = 1,
) -> Iterator[Share]:
    """An endless stream of batches; the n-th is a function of task, seed and n alone.

    With bucketing, an epoch's pairs are cut into pools of ``POOL`` batches; inside a pool they are
    sorted by length, cut into batches, and the batches shuffled. Without, a pool is one batch.

    Args:
        start: batches to skip, as many as were trained on before.
        rank, size: this process's number, and how many processes share the rows of each batch.
    """
    epoch = 0
    if start:
        # Every epoch has as many pairs as the first.
        first = task.epoch(training.seed, 0, training.batch_size)
        epoch, start = divmod(start, _batches_of(first, training))
    for group in islice(_groups(task, training, epoch), start, None):
        yield _share(group, config, practice_of(training.fault), rank, size)


def _batches_of(pairs: Sequence[Pair], training: TrainingConfig) -> int:
    """Number of batches of an epoch; only the last can have fewer pairs."""
    return math.ceil(len(pairs) / training.batch_size)


def _pool_size(training: TrainingConfig) -> int:
    """Number of pairs that are sorted by length together."""
    return training.batch_size * (POOL if training.bucketing else 1)


def _groups(task: Task, training: TrainingConfig, epoch: int) -> Iterator[list[Encoded]]:
    """The encoded pairs of each batch from an epoch on, in order.

    The next pool is encoded in parts, one before each batch except the first: encoding it at once
    would keep a graphics card waiting.
    """
    pools = _pools(task, training, epoch)
    pairs, random = next(pools)
    encoded = encode(task, pairs)
    while True:
        groups = by_length(encoded, training.batch_size)
        random.shuffle(groups)
        yield groups[0]
        pairs, random = next(pools)
        part = math.ceil(len(pairs) / len(groups))
        encoded = encode(task, pairs[:part])
        for number, group in enumerate(groups[1:], start=1):
            yield group
            encoded += encode(task, pairs[number * part : (number + 1) * part])


def _pools(
    task: Task, training: TrainingConfig, epoch: int
) -> Iterator[tuple[Sequence[Pair], Random]]:
    """The pairs of each pool from an epoch on, with the generator that shuffles its batches."""
    size = _pool_size(training)
    for number in count(epoch):
        pairs = task.epoch(training.seed, number, training.batch_size)
        random = Random(f"batches/{training.seed}/{number}")
        for start in range(0, len(pairs), size):
            yield pairs[start : start + size], random


def _share(
    group: Sequence[Encoded],
    config: TransformerConfig,
    practice: TrainingPractice,
    rank: int,
    size: int,
) -> Share:
    mine = group[rank::size]
    # With fewer pairs than processes, the last processes compute a pair that does not count.
    batch = collate(mine or group[:1], config, practice)
    if not mine:
        batch.target_out.fill_(config.pad_id)
    longest = [max(len(pair[side]) for pair in group) + 1 for side in range(2)]
    targets = sum(len(target) + 1 for _, target in group)
    if practice is not CORRECT:  # then there is only one process
        asked = batch.target_out
        targets = asked.numel() if practice.counts_padding else int((asked != config.pad_id).sum())
    return Share(
        batch,
        targets=targets,
        tokens=len(group) * sum(longest),
    )

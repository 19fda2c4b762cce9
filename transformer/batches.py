"""Pairs as padded batches of ids, texts of similar length together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from transformer.config import TrainingConfig, TransformerConfig
from transformer.decoding import pad
from transformer.tasks import Pair, Task

POOL = 32
"""Batches drawn at once, sorted by length and cut: enough to leave little padding."""


@dataclass(frozen=True)
class Batch:
    """Padded ids.

    source: [batch, source], each ending in <eos>.
    target_in: [batch, target], the start token and then the target: what the decoder reads.
    target_out: [batch, target], the target and then <eos>: what it should write.
    """

    source: Tensor
    target_in: Tensor
    target_out: Tensor

    @property
    def tokens(self) -> int:
        """Source and target positions, padding included: the work of a step."""
        return self.source.numel() + self.target_in.numel()

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.source.to(device), self.target_in.to(device), self.target_out.to(device))


Encoded = tuple[list[int], list[int]]
"""Ids of a source and of its target, without special tokens."""


def encode(task: Task, pairs: Sequence[Pair]) -> list[Encoded]:
    return [
        (task.source_vocabulary.encode(source), task.target_vocabulary.encode(target))
        for source, target in pairs
    ]


def collate(encoded: Sequence[Encoded], config: TransformerConfig) -> Batch:
    """One padded batch of some pairs."""
    sources = [[*source, config.eos_id] for source, _ in encoded]
    inputs = [[config.decoder_start_id, *target] for _, target in encoded]
    outputs = [[*target, config.eos_id] for _, target in encoded]
    return Batch(*(pad(rows, config.pad_id) for rows in (sources, inputs, outputs)))


def by_length(encoded: Sequence[Encoded], size: int) -> list[list[Encoded]]:
    """Groups of up to ``size`` pairs of similar length, for evaluation; order is not kept."""
    ordered = sorted(encoded, key=lambda pair: (len(pair[1]), len(pair[0])))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def training_batches(
    task: Task, config: TransformerConfig, training: TrainingConfig
) -> Iterator[Batch]:
    """An endless stream of batches; the n-th is a function of task, seed and n alone.

    An epoch's pairs are cut into pools of ``POOL`` batches; inside a pool they are sorted by
    length, cut into batches, and the batches shuffled.
    """
    epoch = 0
    while True:
        pairs = task.epoch(training.seed, epoch, training.batch_size)
        random = Random(f"batches/{training.seed}/{epoch}")
        pool_size = training.batch_size * POOL
        for start in range(0, len(pairs), pool_size):
            pool = by_length(encode(task, pairs[start : start + pool_size]), training.batch_size)
            random.shuffle(pool)
            for group in pool:
                yield collate(group, config)
        epoch += 1

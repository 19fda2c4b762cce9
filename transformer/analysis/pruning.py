"""Pruning: switch heads off one after another, to find which ones the model does not need.

Each round switches off the head without which the most outputs stay right. On the examples used to
choose, the chosen heads look less important than they are; so the score is on other examples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from transformer.analysis.ablation import replaced, zeros
from transformer.analysis.heads import Head, all_heads
from transformer.checkpoint import Checkpoint
from transformer.decoding.steps import pad
from transformer.tasks import Pair


@dataclass(frozen=True)
class Pruning:
    """The heads in the order in which they were switched off, and the share of right outputs.

    chosen, scored: shares, from 0 to 1, on the examples used to choose and on the others; entry i
        is with the first i heads switched off.
    """

    heads: tuple[Head, ...]
    chosen: tuple[float, ...]
    scored: tuple[float, ...]

    def can_go(self, tolerance: float) -> int:
        """How many heads can be off before the score first falls by more than ``tolerance``."""
        kept = [share >= self.scored[0] - tolerance for share in self.scored]
        return next((i - 1 for i, good in enumerate(kept) if not good), len(kept) - 1)


class _Forced:
    """Scores pairs by teacher forcing, as one padded batch: an output is right if each of its
    tokens is right given the true tokens before it."""

    def __init__(self, checkpoint: Checkpoint, pairs: Sequence[Pair]) -> None:
        config = checkpoint.config
        self.model = checkpoint.model
        targets = [
            [*checkpoint.target_vocabulary.encode(pair.target), config.eos_id] for pair in pairs
        ]
        sources = [checkpoint.source_ids(pair.source) for pair in pairs]
        self.source = pad(sources, config.pad_id)
        self.wanted = pad(targets, config.pad_id)
        self.read = pad([[config.decoder_start_id, *row[:-1]] for row in targets], config.pad_id)
        self.padding = self.wanted == config.pad_id

    @torch.inference_mode()
    def right(self, off: Sequence[Head]) -> float:
        with replaced(self.model, zeros(off)):
            found = self.model(self.source, self.read).argmax(dim=-1)
        return ((found == self.wanted) | self.padding).all(dim=1).float().mean().item()


def prune(
    checkpoint: Checkpoint, choose: Sequence[Pair], score: Sequence[Pair], most: int | None = None
) -> Iterator[float | Pruning]:
    """Switch heads off one after another; yields the share done, from 0 to 1, then the result.

    Args:
        choose: examples that decide which head is switched off next.
        score: other examples, on which the remaining heads are scored.
        most: number of heads to switch off; None for all.
    """
    on, off = all_heads(checkpoint.config), list[Head]()
    rounds = len(on) if most is None else min(most, len(on))
    total = sum(len(on) - number for number in range(rounds))
    choosing, scoring = _Forced(checkpoint, choose), _Forced(checkpoint, score)
    chosen, scored = [choosing.right(off)], [scoring.right(off)]
    done = 0
    for _ in range(rounds):
        shares = {}
        for head in on:
            shares[head] = choosing.right([*off, head])
            done += 1
            yield done / total
        gone = max(on, key=shares.__getitem__)
        on.remove(gone)
        off.append(gone)
        chosen.append(shares[gone])
        scored.append(scoring.right(off))
    yield Pruning(tuple(off), tuple(chosen), tuple(scored))

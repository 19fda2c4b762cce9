"""Heads switched off one after the other, until the model breaks: which ones it can do without.

At each round goes the head without which most answers stay right. Heads chosen by some examples
look dispensable on these; what counts is the score on others.
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
    """The heads in the order in which they went, and the shares of answers that are right.

    chosen, scored: on the examples that chose and on the others, from 0 to 1; the first number is
        with all heads, the one after it without the first, and so on.
    """

    heads: tuple[Head, ...]
    chosen: tuple[float, ...]
    scored: tuple[float, ...]

    def can_go(self, tolerance: float) -> int:
        """How many heads can go before the score first falls by more than ``tolerance``."""
        kept = [share >= self.scored[0] - tolerance for share in self.scored]
        return next((i - 1 for i, good in enumerate(kept) if not good), len(kept) - 1)


class _Forced:
    """Pairs as one padded batch, whose answers are right where each token is, given the true
    ones before it."""

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
    """Switch heads off one after the other; yields the share done, from 0 to 1, then the result.

    Args:
        choose: examples that say which head goes next.
        score: others, on which what is left is measured.
        most: heads to switch off; None is all.
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

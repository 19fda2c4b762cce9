"""The model sizes, and the data that every variant gets."""

from dataclasses import dataclass
from random import Random
from typing import Any

from transformer.config import DataConfig, TrainingConfig, TransformerConfig
from transformer.tasks import Pair
from transformer.tasks.own_pairs.task import OwnPairs

LENGTH = 20
"""Number of tokens of a source and of a target, with <eos>, if all have equal lengths."""
SHORTEST, LONGEST = 4, 32
"""Bounds of that number if lengths vary; drawn uniformly between them."""
DROPOUT = SMOOTHING = 0.1
BATCHES = 32
"""Number of different batches in the data."""


@dataclass(frozen=True)
class Size:
    """A model's size, with the batch and the vocabulary used to measure it.

    layers: of the encoder, and as many of the decoder. batch: number of pairs.
    words: number of tokens in a vocabulary, without special ones.
    """

    name: str
    d_model: int
    layers: int
    batch: int
    words: int
    num_heads: int = 8

    @property
    def title(self) -> str:
        return f"d{self.d_model} {self.layers}+{self.layers}"

    def config(self, **changes: Any) -> TransformerConfig:
        """Our model of this size, post-norm as in the paper."""
        values: dict[str, Any] = {
            "source_vocab_size": self.words + 4,
            "target_vocab_size": self.words + 4,
            "d_model": self.d_model,
            "num_heads": self.num_heads,
            "num_encoder_layers": self.layers,
            "num_decoder_layers": self.layers,
            "d_ff": 4 * self.d_model,
            "dropout": DROPOUT,
            "max_length": 256,
        }
        return TransformerConfig(**values | changes)


SIZES = (
    Size("tiny", 128, 2, batch=64, words=1000),
    Size("small", 256, 3, batch=32, words=1000),
    Size("base", 512, 6, batch=16, words=2000),
)


def made_up_pairs(size: Size, shortest: int, longest: int, batches: int = BATCHES) -> OwnPairs:
    """Pairs of random words; lengths, with <eos>, are drawn from ``shortest`` to ``longest``."""
    chance = Random(f"{size.name}/{shortest}/{longest}")
    words = [f"w{number}" for number in range(size.words)]

    def text() -> str:
        return " ".join(chance.choices(words, k=chance.randint(shortest, longest) - 1))

    pairs = [Pair(text(), text()) for _ in range(size.batch * batches)]
    return OwnPairs(DataConfig(task="pairs", held_out=0.0), pairs)


def training_config(batch: int, **changes: Any) -> TrainingConfig:
    """Settings of a run that does nothing but train while it is measured."""
    values: dict[str, Any] = {
        "steps": 1_000_000,
        "batch_size": batch,
        "learning_rate": 1e-4,
        "warmup_steps": 0,
        "label_smoothing": SMOOTHING,
        "eval_every": 1_000_000,
        "final_examples": 1,
        "threads": 1,
    }
    return TrainingConfig(**values | changes)

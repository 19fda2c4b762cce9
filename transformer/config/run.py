"""Configuration of a run's data and of sampling, and of a whole run.

As in :mod:`config.architecture`, every field carries its help text and its bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from transformer.config.architecture import TransformerConfig
from transformer.config.training import TrainingConfig
from transformer.config.validation import SelfValidating, setting, shown
from transformer.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DataConfig(SelfValidating):
    """Which pairs to learn from.

    Raises:
        ConfigError: a field is out of its bounds, or two fields contradict each other.
    """

    task: str = setting("What to learn.", default="reverse")
    min_letters: int = setting(
        "Minimum number of letters in an input.", default=1, minimum=1, maximum=64
    )
    max_letters: int = setting(
        "Maximum number of letters in an input.", default=12, minimum=1, maximum=64
    )
    digits: int = setting(
        "Maximum number of digits of each number to add.", default=3, minimum=1, maximum=9
    )
    tokens: str = setting(
        "How your own pairs are cut into tokens.",
        default="words",
        choices=("characters", "words", "bpe"),
    )
    bpe_size: int = setting(
        "Maximum number of tokens in a byte-pair vocabulary.",
        default=1000,
        minimum=50,
        maximum=32_000,
    )
    held_out: float = setting(
        "Share of your own pairs kept out of training; 0 evaluates on all of them.",
        default=0.1,
        minimum=0.0,
        maximum=0.5,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task != "pairs" and self.held_out == 0:
            raise ConfigError(
                "held_out = 0: training and testing on the same pairs is for the task 'pairs' only."
            )
        if self.min_letters > self.max_letters:
            raise ConfigError(
                f"min_letters = {self.min_letters}: must not exceed "
                f"max_letters = {self.max_letters}."
            )

    @property
    def evaluates_on_training_pairs(self) -> bool:
        """Whether nothing is held out, so that evaluation measures memorisation."""
        return self.task == "pairs" and self.held_out == 0


@dataclass(frozen=True)
class SamplingConfig(SelfValidating):
    """How to draw the next token: logits divided by temperature, then top-k, top-p, softmax.

    Raises:
        ConfigError: a field is out of its bounds.
    """

    temperature: float = setting(
        "Divides the logits: below 1, likely tokens become likelier; above 1, all become more "
        "alike.",
        default=1.0,
        minimum=0.01,
        maximum=100.0,
    )
    top_k: int = setting(
        "Keeps only this many tokens, those with the highest logits; 0 keeps all.",
        default=0,
        minimum=0,
        maximum=10_000_000,
    )
    top_p: float = setting(
        "Keeps only the most probable tokens that together reach this probability.",
        default=1.0,
        minimum=0.0,
        maximum=1.0,
        above_minimum=True,
    )
    seed: int = setting(
        "The same seed draws the same output.", default=0, minimum=0, maximum=2**31 - 1
    )


@dataclass(frozen=True)
class RunConfig:
    """Everything needed to start a run again: what ``config.json`` of a run holds."""

    preset: str
    data: DataConfig
    model: TransformerConfig
    training: TrainingConfig

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Read what :meth:`to_dict` wrote.

        Raises:
            ConfigError: a part is missing or invalid.
        """
        if not isinstance(values, Mapping) or set(values) != {
            "preset",
            "data",
            "model",
            "training",
        }:
            raise ConfigError("A run's config must have exactly preset, data, model and training.")
        if not isinstance(values["preset"], str):
            raise ConfigError(f"preset = {shown(values['preset'])}: must be text.")
        return cls(
            values["preset"],
            DataConfig.from_dict(values["data"]),
            TransformerConfig.from_dict(values["model"]),
            TrainingConfig.from_dict(values["training"]),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "preset": self.preset,
            "data": self.data.to_dict(),
            "model": self.model.to_dict(),
            "training": self.training.to_dict(),
        }

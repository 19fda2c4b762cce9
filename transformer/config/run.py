"""What describes a run: its training, its data, how tokens are drawn, and all of it together.

As in :mod:`config.architecture`, every field carries its help text and its bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from transformer.config.architecture import TransformerConfig
from transformer.config.faults import reveal
from transformer.config.settings import SelfValidating, setting, shown
from transformer.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(SelfValidating):
    """How a model is trained: optimiser, schedule, budget, evaluation, seed.

    Raises:
        ConfigError: a field is out of its bounds, or two fields contradict each other.
    """

    steps: int = setting("Updates to make.", default=1500, minimum=1, maximum=10_000_000)
    batch_size: int = setting("Pairs in one update.", default=128, minimum=1, maximum=65_536)
    bucketing: bool = setting(
        "Texts of similar length in one update, as in section 5.1, which leaves little padding; "
        "or of all lengths, by which small tasks are learned in fewer updates.",
        default=True,
    )
    learning_rate: float = setting(
        "Highest learning rate, reached at the end of the warm-up.",
        default=2e-3,
        minimum=0.0,
        maximum=10.0,
        above_minimum=True,
    )
    warmup_steps: int = setting(
        "Updates over which the learning rate rises from 0.",
        default=100,
        minimum=0,
        maximum=1_000_000,
    )
    schedule: str = setting(
        "After the warm-up the rate stays constant, or falls with 1/√step as in the paper.",
        default="constant",
        choices=("constant", "inverse-sqrt"),
    )
    decay_fraction: float = setting(
        "Share of the updates, at the end, over which the rate falls to 0 in a straight line.",
        default=0.4,
        minimum=0.0,
        maximum=1.0,
    )
    optimizer: str = setting(
        "Adam, as in the paper; or Muon, which learns many tasks in fewer updates, each of which "
        "costs a little more.",
        default="adam",
        choices=("adam", "muon"),
    )
    adam_beta1: float = setting("Adam's β₁.", default=0.9, minimum=0.0, maximum=0.999999)
    adam_beta2: float = setting("Adam's β₂.", default=0.98, minimum=0.0, maximum=0.999999)
    adam_eps: float = setting(
        "Adam's ε.", default=1e-9, minimum=0.0, maximum=1e-2, above_minimum=True
    )
    weight_decay: float = setting(
        "How fast weights fall towards 0 by themselves: each update takes the learning rate times "
        "this off every matrix, whatever its gradient (AdamW); biases and norms are left alone.",
        default=0.0,
        minimum=0.0,
        maximum=100.0,
    )
    label_smoothing: float = setting(
        "Share of the target probability spread over all tokens (section 5.4).",
        default=0.0,
        minimum=0.0,
        maximum=0.5,
    )
    gradient_clip: float = setting(
        "Largest norm of the gradient; a longer one is scaled down to it.",
        default=1.0,
        minimum=0.0,
        maximum=1e6,
        above_minimum=True,
    )
    until_loss: float = setting(
        "Stop as soon as the evaluation loss is below this; 0 trains all steps.",
        default=0.0,
        minimum=0.0,
        maximum=100.0,
    )
    eval_every: int = setting(
        "Updates between evaluations on held-out pairs.", default=100, minimum=1, maximum=1_000_000
    )
    eval_examples: int = setting(
        "Held-out pairs that the evaluations in between use.",
        default=200,
        minimum=1,
        maximum=100_000,
    )
    final_examples: int = setting(
        "Held-out pairs that the first and the last evaluation use.",
        default=1000,
        minimum=1,
        maximum=100_000,
    )
    seed: int = setting(
        "Starts every random choice: initial weights, order of the pairs, dropout.",
        default=1,
        minimum=0,
        maximum=2**31 - 1,
    )
    threads: int = setting(
        "CPU threads; 0 takes as many as a short trial at the start finds worth it.",
        default=0,
        minimum=0,
        maximum=256,
    )
    precision: str = setting(
        "What matrix products compute in while training: 32-bit numbers (fp32) or coarser 16-bit "
        "ones (bf16); auto takes bf16 where a short trial finds it faster.",
        default="auto",
        choices=("auto", "fp32", "bf16"),
    )
    device: str = setting(
        "What trains: the processor (cpu) or a graphics card (cuda); auto takes a graphics card "
        "where PyTorch finds one.",
        default="auto",
        choices=("auto", "cpu", "cuda"),
    )
    fault: str = setting(
        "A fault to plant on purpose, by its name in `python -m transformer faults`.", default=""
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        reveal(self.fault)
        if self.schedule == "inverse-sqrt" and self.warmup_steps == 0:
            raise ConfigError(
                "warmup_steps = 0: the inverse-sqrt schedule needs at least 1 (the paper: 4,000)."
            )
        if self.learning_rate * self.weight_decay >= 1:
            raise ConfigError(
                f"weight_decay = {self.weight_decay:g}: times the learning rate of "
                f"{self.learning_rate:g} it must stay below 1, or an update takes more off a "
                "weight than there is."
            )

    def to_dict(self) -> dict[str, Any]:
        """As in a run's file, which names what came later only where it differs from before."""
        plain = super().to_dict()
        if self.bucketing:
            del plain["bucketing"]
        for name in ("fault", "weight_decay"):
            if not plain[name]:
                del plain[name]
        return plain


@dataclass(frozen=True, kw_only=True)
class DataConfig(SelfValidating):
    """Which pairs to learn from.

    Raises:
        ConfigError: a field is out of its bounds, or two fields contradict each other.
    """

    task: str = setting("What to learn.", default="reverse")
    min_letters: int = setting("Fewest letters of an input.", default=1, minimum=1, maximum=64)
    max_letters: int = setting("Most letters of an input.", default=12, minimum=1, maximum=64)
    digits: int = setting("Most digits of each number to add.", default=3, minimum=1, maximum=9)
    tokens: str = setting(
        "How your own pairs are cut into tokens.",
        default="words",
        choices=("characters", "words", "bpe"),
    )
    bpe_size: int = setting(
        "Most tokens a byte-pair vocabulary may have.", default=1000, minimum=50, maximum=32_000
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
        """Whether nothing is held out, so that evaluation says how well pairs are remembered."""
        return self.task == "pairs" and self.held_out == 0


@dataclass(frozen=True)
class SamplingConfig(SelfValidating):
    """How the next token is drawn: logits over the temperature, then top-k, top-p, softmax.

    Raises:
        ConfigError: a field is out of its bounds.
    """

    temperature: float = setting(
        "Divides the logits: below 1 the likely gets likelier, above 1 all get more alike.",
        default=1.0,
        minimum=0.01,
        maximum=100.0,
    )
    top_k: int = setting(
        "Only so many tokens, those with the highest logits, stay; 0 keeps all.",
        default=0,
        minimum=0,
        maximum=10_000_000,
    )
    top_p: float = setting(
        "Only the most probable tokens that together reach this probability stay.",
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

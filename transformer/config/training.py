"""The settings of a training run: updates, batches, learning rate, optimizer, evaluation, seed.

The form of the Train page, the flags of ``train`` and the links follow from the fields here. As in
:mod:`config.architecture`, every field carries its help text and its bounds.
"""

from dataclasses import dataclass
from typing import Any

from transformer.config.faults import reveal
from transformer.config.validation import SelfValidating, setting
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
        "or of all lengths, with which small tasks need fewer updates.",
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
        "Decay of the weights towards 0 (AdamW): each update shrinks every matrix by the "
        "learning rate times this value, whatever its gradient; biases and norms do not decay.",
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
        "CPU threads; 0: a short trial at the start chooses the number.",
        default=0,
        minimum=0,
        maximum=256,
    )
    precision: str = setting(
        "Numbers in the matrix products of training: 32-bit (fp32) or less precise 16-bit "
        "(bf16); auto takes bf16 if a short trial finds it faster.",
        default="auto",
        choices=("auto", "fp32", "bf16"),
    )
    device: str = setting(
        "Where training runs: the processor (cpu) or a graphics card (cuda); auto takes a "
        "graphics card if PyTorch finds one.",
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
                f"{self.learning_rate:g} it must stay below 1, or an update removes the whole "
                "weight or more."
            )

    def to_dict(self) -> dict[str, Any]:
        """As written to a run's file. ``bucketing``, ``fault`` and ``weight_decay`` are left out
        while they have the behaviour from before they existed. Later fields need no line."""
        plain = super().to_dict()
        if self.bucketing:
            del plain["bucketing"]
        for name in ("fault", "weight_decay"):
            if not plain[name]:
                del plain[name]
        return plain

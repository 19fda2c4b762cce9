"""What describes a model and its training: frozen dataclasses that validate themselves.

Every field carries its help text and its bounds in ``field(metadata=...)``. The command
line makes its flags from them and the app makes its form from them, so a setting is
described in one place only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from transformer.config.settings import SelfValidating, required, setting, shown
from transformer.errors import ConfigError

MAX_PARAMETERS = 500_000_000
"""More than this is refused: 2 GB of 32-bit weights is what a small server can hold."""
LATER_FIELDS: dict[str, Any] = {
    "source_frame": "eos",
    "pad_in_output": "allowed",
    "longest_output": 0,
    "forces_end": False,
    "length_penalty": "paper",
    "early_stopping": "estimate",
}
"""Fields of :class:`TransformerConfig` that files may lack, and what they then mean."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(SelfValidating):
    """The architecture. Defaults are the paper's base model (table 3), post-norm.

    The small presets change what trains fastest (see :mod:`tasks.presets`).

    Raises:
        ConfigError: a field is out of its bounds, two fields contradict each other, or
            the model would have more than ``MAX_PARAMETERS`` parameters.
    """

    source_vocab_size: int = required(
        "Tokens in the source vocabulary.", minimum=5, maximum=1 << 20
    )
    target_vocab_size: int = required(
        "Tokens in the target vocabulary.", minimum=5, maximum=1 << 20
    )
    d_model: int = setting(
        "Width of every token's vector; a multiple of num_heads.",
        default=512,
        minimum=2,
        maximum=8192,
    )
    num_heads: int = setting(
        "Attention heads a layer; each works on d_model / num_heads numbers.",
        default=8,
        minimum=1,
        maximum=64,
    )
    num_encoder_layers: int = setting("Layers of the encoder.", default=6, minimum=1, maximum=48)
    num_decoder_layers: int = setting("Layers of the decoder.", default=6, minimum=1, maximum=48)
    d_ff: int = setting(
        "Width of the hidden layer of the feed-forward network; the paper uses 4 × d_model.",
        default=2048,
        minimum=1,
        maximum=32768,
    )
    dropout: float = setting(
        "Share of numbers zeroed in training, after each sub-layer and after the embeddings.",
        default=0.1,
        minimum=0.0,
        maximum=0.9,
    )
    max_length: int = setting(
        "Longest sequence, in tokens, with its <bos> or <eos>.",
        default=512,
        minimum=2,
        maximum=4096,
    )
    norm_first: bool = setting(
        "Normalise before each sub-layer (pre-norm); off is the paper's way, after it.",
        default=False,
    )
    final_norm: bool = setting(
        "One more normalisation after each stack; pre-norm models want it.", default=False
    )
    activation: str = setting(
        "Non-linearity of the feed-forward network; the paper uses relu.",
        default="relu",
        choices=("relu", "gelu", "swish"),
    )
    tie_embeddings: bool = setting(
        "Use the target embedding as the output projection too, as the paper does.", default=True
    )
    share_embeddings: bool = setting(
        "Use one embedding for source and target; needs one vocabulary for both.", default=False
    )
    scale_embeddings: bool = setting(
        "Multiply embeddings by √d_model, as the paper does.", default=True
    )
    position_layout: str = setting(
        "Positions as sines and cosines, interleaved as in the paper or all sines first (halves); "
        "or as a learned table a side.",
        default="interleaved",
        choices=("interleaved", "halves", "learned"),
    )
    output_bias: bool = setting("Add a learned bias to the logits.", default=False)
    layer_norm_eps: float = setting(
        "Added to the variance in LayerNorm.",
        default=1e-5,
        minimum=0.0,
        maximum=0.1,
        above_minimum=True,
    )
    pad_id: int = setting("Id of the padding token.", default=0, minimum=0, maximum=1 << 20)
    bos_id: int = setting(
        "Id of the token that starts a sequence.", default=1, minimum=0, maximum=1 << 20
    )
    eos_id: int = setting(
        "Id of the token that ends a sequence.", default=2, minimum=0, maximum=1 << 20
    )
    unk_id: int = setting(
        "Id that stands for unknown tokens.", default=3, minimum=0, maximum=1 << 20
    )
    decoder_start_id: int = setting(
        "Id the decoder starts from.", default=1, minimum=0, maximum=1 << 20
    )
    source_frame: str = setting(
        "What the encoder reads around a text: <eos> after it, <bos> and <eos>, or nothing.",
        default="eos",
        choices=("eos", "bos-eos", "none"),
    )
    pad_in_output: str = setting(
        "Whether padding may be written: allowed as any token, cut from the probabilities, or cut "
        "with the others made to sum to 1 again (renormalised).",
        default="allowed",
        choices=("allowed", "cut", "renormalised"),
    )
    longest_output: int = setting(
        "Most tokens of an output; 0 stands for all of max_length.",
        default=0,
        minimum=0,
        maximum=4096,
    )
    forces_end: bool = setting(
        "Write <eos> as the last token of an output as long as it may be.", default=False
    )
    length_penalty: str = setting(
        "What beam search divides log-probabilities by: ((5 + n) / 6)^α as the paper does, or the "
        "length alone, n^α, with finished outputs in a pool of their own, as Hugging Face's "
        "generate does.",
        default="paper",
        choices=("paper", "length"),
    )
    early_stopping: str = setting(
        "When a beam search with a pool ends: once it is full, by an estimate of what is growing "
        "at its present length, or at its greatest length (never).",
        default="estimate",
        choices=("full", "estimate", "never"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_model % self.num_heads:
            raise ConfigError(
                f"num_heads = {self.num_heads}: must divide d_model = {self.d_model} "
                "without remainder."
            )
        if self.d_model % 2 and self.position_layout != "learned":
            raise ConfigError(
                f"d_model = {self.d_model}: must be even, since positions use pairs of "
                "sine and cosine."
            )
        if self.share_embeddings and self.source_vocab_size != self.target_vocab_size:
            raise ConfigError(
                "share_embeddings = True: needs one vocabulary for both sides, but "
                f"source_vocab_size = {self.source_vocab_size} and "
                f"target_vocab_size = {self.target_vocab_size}."
            )
        smallest = min(self.source_vocab_size, self.target_vocab_size)
        for name in ("pad_id", "bos_id", "eos_id", "unk_id", "decoder_start_id"):
            if getattr(self, name) >= smallest:
                raise ConfigError(
                    f"{name} = {getattr(self, name)}: must be below the vocabulary size {smallest}."
                )
        if self.pad_id == self.eos_id:
            raise ConfigError(
                f"pad_id = eos_id = {self.pad_id}: must differ, or no sequence could end."
            )
        if self.num_parameters > MAX_PARAMETERS:
            raise ConfigError(
                f"This model would have {self.num_parameters:,} parameters; at most "
                f"{MAX_PARAMETERS:,} are allowed. Lower d_model, d_ff or the number of layers."
            )

    @property
    def d_k(self) -> int:
        """Width of one head's queries, keys and values (section 3.2.2)."""
        return self.d_model // self.num_heads

    def framed(self, source: Sequence[int]) -> list[int]:
        """The ids of a text as the encoder reads them, with what ``source_frame`` puts around."""
        start = [self.bos_id] if self.source_frame == "bos-eos" else []
        end = [] if self.source_frame == "none" else [self.eos_id]
        return [*start, *source, *end]

    def to_dict(self) -> dict[str, Any]:
        """Every field, but for those that came later and say nothing: old files keep their
        checksum."""
        plain = super().to_dict()
        return {
            name: value
            for name, value in plain.items()
            if name not in LATER_FIELDS or value != LATER_FIELDS[name]
        }

    @property
    def num_parameters(self) -> int:
        """Parameters of the model, from arithmetic alone: nothing is allocated."""
        attention = 4 * (self.d_model * self.d_model + self.d_model)
        feed_forward = 2 * self.d_model * self.d_ff + self.d_ff + self.d_model
        norm = 2 * self.d_model
        encoder = self.num_encoder_layers * (attention + feed_forward + 2 * norm)
        decoder = self.num_decoder_layers * (2 * attention + feed_forward + 3 * norm)
        embeddings = self.target_vocab_size * self.d_model
        if not self.share_embeddings:
            embeddings += self.source_vocab_size * self.d_model
        if self.position_layout == "learned":
            embeddings += 2 * self.max_length * self.d_model
        output = 0 if self.tie_embeddings else self.target_vocab_size * self.d_model
        if self.output_bias:
            output += self.target_vocab_size
        return encoder + decoder + 2 * norm * self.final_norm + embeddings + output


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(SelfValidating):
    """How a model is trained: optimiser, schedule, budget, evaluation, seed.

    Raises:
        ConfigError: a field is out of its bounds, or two fields contradict each other.
    """

    steps: int = setting("Updates to make.", default=1500, minimum=1, maximum=10_000_000)
    batch_size: int = setting("Pairs in one update.", default=128, minimum=1, maximum=65_536)
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
    adam_beta1: float = setting("Adam's β₁.", default=0.9, minimum=0.0, maximum=0.999999)
    adam_beta2: float = setting("Adam's β₂.", default=0.98, minimum=0.0, maximum=0.999999)
    adam_eps: float = setting(
        "Adam's ε.", default=1e-9, minimum=0.0, maximum=1e-2, above_minimum=True
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
        "CPU threads; 0 leaves one core to the app.", default=0, minimum=0, maximum=256
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule == "inverse-sqrt" and self.warmup_steps == 0:
            raise ConfigError(
                "warmup_steps = 0: the inverse-sqrt schedule needs at least 1 (the paper: 4,000)."
            )


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

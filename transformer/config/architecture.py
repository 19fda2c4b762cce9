"""A model's configuration, and its parameter counts by part; neither needs torch.

Every field carries its help text and its bounds in ``field(metadata=...)``. The command
line makes its flags from them and the app makes its form from them, so a setting is
described in one place only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformer.config.validation import SelfValidating, required, setting
from transformer.errors import ConfigError

MAX_PARAMETERS = 500_000_000
"""Most parameters of a model: 2 GB of 32-bit weights is what a small server can hold."""
LATER_FIELDS: dict[str, Any] = {
    "source_frame": "eos",
    "pad_in_output": "allowed",
    "longest_output": 0,
    "forces_end": False,
    "length_penalty": "paper",
    "early_stopping": "estimate",
    "decoder_norm": "as encoder",
    "final_norm_side": "both",
    "embedding_norm": False,
    "decoder_d_ff": 0,
    "attention_width": 0,
}
"""Fields of :class:`TransformerConfig` that old files lack, with the values they then have."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(SelfValidating):
    """The architecture. Defaults are the paper's base model (table 3), post-norm.

    The presets in :mod:`tasks.presets` set small sizes and pre-norm, which train faster.

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
        "Attention heads per layer; each works on d_model / num_heads numbers.",
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
        "Normalise before each sub-layer (pre-norm); off: after it, as in the paper.",
        default=False,
    )
    final_norm: bool = setting(
        "One more normalisation after each stack; pre-norm models need it.", default=False
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
        "Positions as sines and cosines, interleaved as in the paper or all sines first "
        "(halves); as one learned table per side; or none at all.",
        default="interleaved",
        choices=("interleaved", "halves", "learned", "none"),
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
        "Id of the first token that the decoder reads.", default=1, minimum=0, maximum=1 << 20
    )
    source_frame: str = setting(
        "What the encoder reads around a text: <eos> after it, <bos> and <eos>, or nothing.",
        default="eos",
        choices=("eos", "bos-eos", "none"),
    )
    pad_in_output: str = setting(
        "Whether the model may write padding: allowed like any token, cut from the "
        "probabilities, or cut with the other probabilities scaled to sum to 1 again "
        "(renormalised).",
        default="allowed",
        choices=("allowed", "cut", "renormalised"),
    )
    longest_output: int = setting(
        "Maximum number of tokens of an output; 0 stands for max_length.",
        default=0,
        minimum=0,
        maximum=4096,
    )
    forces_end: bool = setting(
        "Write <eos> as the last token of an output that reaches the maximum length.", default=False
    )
    length_penalty: str = setting(
        "Divisor of log-probabilities in beam search: ((5 + n) / 6)^α as in the paper, or the "
        "length alone, n^α, with finished outputs in a separate pool, as in Hugging Face's "
        "generate.",
        default="paper",
        choices=("paper", "length"),
    )
    early_stopping: str = setting(
        "When a beam search with a pool ends: once the pool is full; or once no unfinished "
        "output would enter it, judged at its present length (estimate) or at the greatest "
        "length (never).",
        default="estimate",
        choices=("full", "estimate", "never"),
    )

    decoder_norm: str = setting(
        "Where the decoder normalises: as the encoder does (norm_first), or before or after each "
        "of its sub-layers.",
        default="as encoder",
        choices=("as encoder", "before", "after"),
    )
    final_norm_side: str = setting(
        "The stacks that final_norm comes after.",
        default="both",
        choices=("both", "encoder", "decoder"),
    )
    embedding_norm: bool = setting(
        "One more normalisation of the input of each stack's first layer.", default=False
    )
    decoder_d_ff: int = setting(
        "Width of the decoder's feed-forward networks; 0 stands for d_ff.",
        default=0,
        minimum=0,
        maximum=32768,
    )

    attention_width: int = setting(
        "Width of all heads of one attention together; 0 stands for d_model.",
        default=0,
        minimum=0,
        maximum=8192,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.final_norm_side != "both" and not self.final_norm:
            raise ConfigError(
                f"final_norm_side = {self.final_norm_side}: needs final_norm, or no norm stands "
                "after a stack."
            )
        if self.inner_width % self.num_heads:
            name = "attention_width" if self.attention_width else "d_model"
            raise ConfigError(
                f"num_heads = {self.num_heads}: must divide {name} = {self.inner_width} "
                "without remainder."
            )
        if self.d_model % 2 and self.position_layout in ("interleaved", "halves"):
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
        return self.inner_width // self.num_heads

    @property
    def inner_width(self) -> int:
        """Width of all heads of an attention together; the paper's h · d_k."""
        return self.attention_width or self.d_model

    def norms_first(self, stack: str) -> bool:
        """Whether a stack, "encoder" or "decoder", normalises before each sub-layer."""
        if stack == "decoder" and self.decoder_norm != "as encoder":
            return self.decoder_norm == "before"
        return self.norm_first

    def norm_after(self, stack: str) -> bool:
        """Whether a stack ends with a LayerNorm."""
        return self.final_norm and self.final_norm_side in ("both", stack)

    def feed_forward_width(self, stack: str) -> int:
        """d_ff of a stack."""
        return self.decoder_d_ff or self.d_ff if stack == "decoder" else self.d_ff

    def framed(self, source: Sequence[int]) -> list[int]:
        """A text's ids with the <bos> and <eos> that ``source_frame`` adds for the encoder."""
        start = [self.bos_id] if self.source_frame == "bos-eos" else []
        end = [] if self.source_frame == "none" else [self.eos_id]
        return [*start, *source, *end]

    def to_dict(self) -> dict[str, Any]:
        """All fields except those of ``LATER_FIELDS`` at the values there: old files keep their
        checksum."""
        plain = super().to_dict()
        return {
            name: value
            for name, value in plain.items()
            if name not in LATER_FIELDS or value != LATER_FIELDS[name]
        }

    @property
    def num_parameters(self) -> int:
        """Number of parameters, computed from the sizes alone: nothing is allocated."""
        return sum(part.count for part in parameters_by_part(self))


# --- parameters by part ---------------------------------------------------------------------------

TITLES = {
    "source embeddings": "Source embeddings",
    "target embeddings": "Target embeddings",
    "shared embeddings": "Embeddings, shared by both sides",
    "encoder self-attention": "Encoder self-attention",
    "encoder feed-forward": "Encoder feed-forward",
    "decoder self-attention": "Decoder self-attention",
    "cross-attention": "Decoder cross-attention",
    "decoder feed-forward": "Decoder feed-forward",
    "norms": "Norms",
    "output": "Output projection",
}
"""Every part that a model may have, and its name on screen."""


@dataclass(frozen=True)
class Part:
    """A group of parameters with the same role.

    name: a key of TITLES.
    count: number of trainable parameters.
    formula: how the count is calculated, with the model's sizes filled in.
    """

    name: str
    count: int
    formula: str

    @property
    def title(self) -> str:
        return TITLES[self.name]


def parameters_by_part(config: TransformerConfig) -> list[Part]:
    """All parts, in the order in which data passes through them; they sum to num_parameters.

    A tied output projection is listed too; its count is then only that of its bias.
    """
    d = config.d_model
    encoder, decoder = config.num_encoder_layers, config.num_decoder_layers
    inner = config.inner_width
    attention, attention_formula = 4 * (d * d + d), f"4 × ({d:,} × {d:,} + {d:,})"
    if inner != d:
        attention = 3 * (d * inner + inner) + inner * d + d
        attention_formula = f"(3 × ({d:,} × {inner:,} + {inner:,}) + {inner:,} × {d:,} + {d:,})"
    norms = 2 * encoder + 3 * decoder + 2 * config.embedding_norm
    norms += config.norm_after("encoder") + config.norm_after("decoder")

    def feed_forward(stack: str, layers: int) -> Part:
        width = config.feed_forward_width(stack)
        count = layers * (2 * d * width + width + d)
        formula = f"{layers} × (2 × {d:,} × {width:,} + {width:,} + {d:,})"
        return Part(f"{stack} feed-forward", count, formula)

    positions = config.max_length if config.position_layout == "learned" else 0

    def embedding(name: str, size: int, sides: int = 1) -> Part:
        tables = [f"{size:,} tokens × {d:,}"]
        if positions:
            tables += [f"{positions:,} positions × {d:,}"] * sides
        return Part(name, (size + sides * positions) * d, " + ".join(tables))

    if config.share_embeddings:
        embeddings = [embedding("shared embeddings", config.target_vocab_size, 2)]
    else:
        embeddings = [
            embedding("source embeddings", config.source_vocab_size),
            embedding("target embeddings", config.target_vocab_size),
        ]
    return [
        *embeddings,
        Part("encoder self-attention", encoder * attention, f"{encoder} × {attention_formula}"),
        feed_forward("encoder", encoder),
        Part("decoder self-attention", decoder * attention, f"{decoder} × {attention_formula}"),
        Part("cross-attention", decoder * attention, f"{decoder} × {attention_formula}"),
        feed_forward("decoder", decoder),
        Part("norms", norms * 2 * d, f"{norms} norms × 2 × {d:,}"),
        _output(config),
    ]


def _output(config: TransformerConfig) -> Part:
    d, size = config.d_model, config.target_vocab_size
    weights = 0 if config.tie_embeddings else size * d
    bias = size if config.output_bias else 0
    said = ["the embeddings again" if config.tie_embeddings else f"{d:,} × {size:,}"]
    if bias:
        said.append(f"bias {size:,}")
    return Part("output", weights + bias, " + ".join(said))


def part_of(tensor: str, config: TransformerConfig) -> str:
    """The part, a key of TITLES, that a tensor belongs to, by its name in a checkpoint.

    Raises:
        ValueError: no model of ours has a tensor of that name.
    """
    stack, _, rest = tensor.partition(".")
    if stack in ("source_embedding", "target_embedding"):
        side = "shared" if config.share_embeddings else stack.removesuffix("_embedding")
        return f"{side} embeddings"
    if stack == "output":
        return "output"
    if stack in ("encoder", "decoder"):
        if "norm." in rest:
            return "norms"
        for name in ("self_attention", "cross_attention", "feed_forward"):
            if f".{name}." in rest:
                spoken = name.replace("_", "-")
                return spoken if name == "cross_attention" else f"{stack} {spoken}"
    raise ValueError(f"{tensor!r} is not a tensor of this model")

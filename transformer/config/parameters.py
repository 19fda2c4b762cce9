"""Where a model's parameters are: counted by part from the config alone, without torch."""

from dataclasses import dataclass

from transformer.config.architecture import TransformerConfig

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
"""Every part that a model may have, and what it is called on screen."""


@dataclass(frozen=True)
class Part:
    """Parameters that do the same work.

    name: a key of TITLES.
    count: numbers that training moves.
    formula: how the count comes about, with the model's own sizes in it.
    """

    name: str
    count: int
    formula: str

    @property
    def title(self) -> str:
        return TITLES[self.name]


def parameters_by_part(config: TransformerConfig) -> list[Part]:
    """All parts, in the order in which data passes through them; they sum to num_parameters.

    The output projection is there even where it is tied, with what it adds of its own.
    """
    d, width = config.d_model, config.d_ff
    encoder, decoder = config.num_encoder_layers, config.num_decoder_layers
    attention, attention_formula = 4 * (d * d + d), f"4 × ({d:,} × {d:,} + {d:,})"
    feed_forward = 2 * d * width + width + d
    feed_forward_formula = f"(2 × {d:,} × {width:,} + {width:,} + {d:,})"
    norms = 2 * encoder + 3 * decoder + 2 * config.final_norm

    def embedding(name: str, size: int) -> Part:
        return Part(name, size * d, f"{size:,} tokens × {d:,}")

    if config.share_embeddings:
        embeddings = [embedding("shared embeddings", config.target_vocab_size)]
    else:
        embeddings = [
            embedding("source embeddings", config.source_vocab_size),
            embedding("target embeddings", config.target_vocab_size),
        ]
    return [
        *embeddings,
        Part("encoder self-attention", encoder * attention, f"{encoder} × {attention_formula}"),
        Part("encoder feed-forward", encoder * feed_forward, f"{encoder} × {feed_forward_formula}"),
        Part("decoder self-attention", decoder * attention, f"{decoder} × {attention_formula}"),
        Part("cross-attention", decoder * attention, f"{decoder} × {attention_formula}"),
        Part("decoder feed-forward", decoder * feed_forward, f"{decoder} × {feed_forward_formula}"),
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
        if ".norm." in f".{rest}":
            return "norms"
        for name in ("self_attention", "cross_attention", "feed_forward"):
            if f".{name}." in rest:
                spoken = name.replace("_", "-")
                return spoken if name == "cross_attention" else f"{stack} {spoken}"
    raise ValueError(f"{tensor!r} is not a tensor of this model")

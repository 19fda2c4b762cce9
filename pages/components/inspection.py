"""What one input makes a checkpoint's model do: its answer, and all of its attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pages.components.attention_explorer import AttentionKind
from transformer.vocabulary import printable

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint


@dataclass(frozen=True)
class Inspection:
    """A source text, what the model wrote for it, and the three attentions."""

    output: str
    complete: bool
    kinds: list[AttentionKind]


def inspect(checkpoint: "Checkpoint", text: str) -> Inspection:
    """Let the model answer, then run it once over its own answer and keep every map.

    Raises:
        VocabularyError: the text cannot be encoded.
    """
    import torch

    from transformer.decoding import decode
    from transformer.hooks import record

    source = checkpoint.encode(text)
    hypothesis = decode(checkpoint.model, source)[0]
    config = checkpoint.config
    # A token's row is the position that wrote it: the one before it in the decoder's input.
    read = torch.tensor([[config.decoder_start_id, *hypothesis.tokens[:-1]]])
    with torch.inference_mode(), record(checkpoint.model) as trace:
        checkpoint.model(source, read)
    sources = shown(checkpoint.source_vocabulary.tokens, source[0].tolist())
    reads = shown(checkpoint.target_vocabulary.tokens, read[0].tolist())
    writes = shown(checkpoint.target_vocabulary.tokens, hypothesis.tokens)
    return Inspection(
        checkpoint.target_vocabulary.decode(hypothesis.tokens),
        hypothesis.finished,
        [
            AttentionKind(
                "encoder",
                "Encoder self-attention",
                trace.encoder_attention.numpy(),
                sources,
                sources,
            ),
            AttentionKind(
                "decoder",
                "Decoder self-attention",
                trace.decoder_attention.numpy(),
                writes,
                reads,
                causal=True,
            ),
            AttentionKind(
                "cross", "Cross-attention", trace.cross_attention.numpy(), writes, sources
            ),
        ],
    )


def chosen_head(kinds: Sequence[AttentionKind], name: str) -> tuple[AttentionKind, int, int]:
    """The head that "kind.layer.head" names; what the explorer shows first if it names none."""
    for kind in kinds:
        for layer in range(kind.weights.shape[0]):
            for head in range(kind.weights.shape[1]):
                if name == f"{kind.id}.{layer}.{head}":
                    return kind, layer, head
    return kinds[-1], kinds[-1].weights.shape[0] - 1, 0


def shown(tokens: Sequence[str], ids: Sequence[int]) -> list[str]:
    """Ids as tokens that a person can see."""
    return [printable(tokens[number]) for number in ids]

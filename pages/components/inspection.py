"""What one input makes a checkpoint's model do: its answer, and all of its attention."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pages.components.attention_explorer import AttentionKind
from transformer.vocabulary import printable

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint

CANDIDATES = 8
"""Next tokens shown at each step."""


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


def decode_steps(checkpoint: "Checkpoint", text: str, prefix: list[int]) -> list[dict[str, Any]]:
    """Greedy decoding after a forced prefix, as the ``decoding_steps`` component draws it.

    Raises:
        VocabularyError: the text cannot be encoded.
    """
    from transformer.decoding import greedy

    tokens = checkpoint.target_vocabulary.tokens
    steps: list[dict[str, Any]] = []
    source = checkpoint.encode(text)
    for step in greedy(checkpoint.model, source, prefix=prefix, attention=True):
        assert step.cross_attention is not None  # asked for
        written = int(step.tokens[0, 0, -1])
        candidates = [(c.token, c.log_prob) for c in step.candidates(CANDIDATES)]
        log_prob = float(step.log_probs[0, 0, written])
        if written not in [token for token, _ in candidates]:
            candidates[-1] = (written, log_prob)
        names = shown(tokens, [token for token, _ in candidates])
        steps.append(
            {
                "id": written,
                "token": shown(tokens, [written])[0],
                "log_prob": log_prob,
                "probability": math.exp(log_prob),
                "forced": step.position < len(prefix),
                "candidates": [
                    [name, token, math.exp(value)]
                    for name, (token, value) in zip(names, candidates, strict=True)
                ],
                # Mean over the heads: [layer, source]
                "attention": step.cross_attention[0, 0].mean(dim=1).tolist(),
            }
        )
    return steps


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

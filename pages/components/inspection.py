"""What one input makes a checkpoint's model do: its answer, and all of its attention."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pages.components.attention_explorer import AttentionKind
from transformer.errors import VocabularyError
from transformer.vocabulary import printable

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.config import TransformerConfig

LONGEST_OUTPUT = 256
"""Tokens after which a page stops an output that finds no end."""
MOST_WEIGHTS = 8_000_000
"""Attention weights that a browser is sent at once: 32 MB."""
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

    from transformer.decoding import decode, greedy
    from transformer.hooks import record

    source = checkpoint.encode(text)
    config = checkpoint.config
    hypothesis = decode(checkpoint.model, source, partial(greedy, max_length=LONGEST_OUTPUT))[0]
    _check_drawable(config, source.size(1), len(hypothesis.tokens))
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


def _check_drawable(config: "TransformerConfig", source: int, target: int) -> None:
    """Refuse, before they are computed, more maps than a browser can draw."""
    weights = config.num_heads * (
        config.num_encoder_layers * source**2
        + config.num_decoder_layers * (target**2 + target * source)
    )
    if weights > MOST_WEIGHTS:
        raise VocabularyError(
            f"All maps together have {weights:,} weights; at most {MOST_WEIGHTS:,} can be drawn. "
            "Shorten the input."
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
    strategy = partial(greedy, prefix=prefix, max_length=LONGEST_OUTPUT, attention=True)
    for step in strategy(checkpoint.model, source):
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

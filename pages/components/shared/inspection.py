"""A model's answer to one input, and all of its attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pages.components.widgets.attention_explorer import AttentionKind
from transformer.analysis.heads import KINDS, all_heads
from transformer.errors import VocabularyError
from transformer.vocabulary.vocabulary import printable

if TYPE_CHECKING:
    from torch import Tensor

    from transformer.checkpoint import Checkpoint
    from transformer.config import TransformerConfig

LONGEST_OUTPUT = 256
"""Number of tokens after which an output without an end is cut."""
MOST_WEIGHTS = 8_000_000
"""Maximum number of attention weights that are sent to a browser at once: 32 MB."""


@dataclass(frozen=True)
class Inspection:
    """A source text, the output for it, and the three attentions.

    source, read, written: ids that the encoder read, the decoder read, and each position wrote.
    complete: False if the output was cut because it had no end.
    given: whether the output was given by the user, not written by the model.
    """

    source: list[int]
    read: list[int]
    written: list[int]
    output: str
    complete: bool
    given: bool
    kinds: list[AttentionKind]


def inspect(
    checkpoint: "Checkpoint", text: str, output: str | Sequence[int] | None = None
) -> Inspection:
    """Let the model answer, then run it once over its own answer and record every map.

    Args:
        output: run over this text, or over these ids, instead of the model's own answer.

    Raises:
        VocabularyError: a text cannot be encoded.
    """
    import torch

    from transformer.decoding.strategies import Greedy, decode
    from transformer.hooks import record

    source = checkpoint.encode(text)
    config = checkpoint.config
    complete = True
    if output is None:
        strategy = Greedy(max_length=LONGEST_OUTPUT)
        hypothesis = decode(checkpoint.model, source, strategy)[0]
        written, complete = list(hypothesis.tokens), hypothesis.finished
    elif isinstance(output, str):
        vocabulary = checkpoint.target_vocabulary
        written = [*vocabulary.encode(vocabulary.as_trained(output)), config.eos_id]
    else:
        written = list(output)
    if len(written) > config.max_length:
        raise VocabularyError(
            f"The output has {len(written) - 1:,} tokens; this model writes at most "
            f"{config.max_length - 1}. Shorten it."
        )
    _check_drawable(config, source.size(1), len(written))
    # A row is labelled with the token it wrote; the decoder reads the token before it there.
    read = [config.decoder_start_id, *written[:-1]]
    firsts = [head for head in all_heads(config) if head.head == 0]  # a tensor has a layer's heads
    points = [head.point(name) for head in firsts for name in ("weights", "scores")]
    with torch.inference_mode(), record(checkpoint.model, points) as trace:
        checkpoint.model(source, torch.tensor([read]))
        sums = {
            kind: torch.stack(
                [
                    _log_sum(trace[head.point("scores")][0], trace[head.point("weights")][0])
                    for head in firsts
                    if head.kind == kind
                ]
            )
            for kind in KINDS
        }
    sources = visible_tokens(checkpoint.source_vocabulary.tokens, source[0].tolist())
    reads = visible_tokens(checkpoint.target_vocabulary.tokens, read)
    writes = visible_tokens(checkpoint.target_vocabulary.tokens, written)
    found = {
        "encoder": (trace.encoder_attention, sources, sources),
        "decoder": (trace.decoder_attention, writes, reads),
        "cross": (trace.cross_attention, writes, sources),
    }
    return Inspection(
        source[0].tolist(),
        read,
        written,
        checkpoint.target_vocabulary.decode(written),
        complete,
        output is not None,
        [
            AttentionKind(
                kind,
                KINDS[kind][0],
                weights.numpy(),
                queries,
                keys,
                causal=kind == "decoder",
                sums=sums[kind].numpy(),
                d_k=config.d_k,
            )
            for kind, (weights, queries, keys) in found.items()
        ],
    )


def _log_sum(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """The logarithm of each row's softmax denominator: [head, query, key] -> [head, query].

    Computed from the row's largest weight, whose key is never masked.
    """
    most, place = weights.max(dim=-1, keepdim=True)
    return (scores.gather(-1, place) - most.log()).squeeze(-1)


def _check_drawable(config: "TransformerConfig", source: int, target: int) -> None:
    """Refuse an input whose maps are too large for a browser, before they are computed."""
    weights = config.num_heads * (
        config.num_encoder_layers * source**2
        + config.num_decoder_layers * (target**2 + target * source)
    )
    if weights > MOST_WEIGHTS:
        raise VocabularyError(
            f"All maps together have {weights:,} weights; at most {MOST_WEIGHTS:,} can be drawn. "
            "Shorten the input."
        )


def visible_tokens(tokens: Sequence[str], ids: Sequence[int]) -> list[str]:
    """Ids as tokens in visible characters."""
    return [printable(tokens[number]) for number in ids]

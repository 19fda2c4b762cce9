"""Is attention an explanation? What a model says when a head's weights stand at other places.

If weights on other source tokens give the same output, the map did not explain it (Jain and
Wallace, 2019); if the output falls apart, where the head looks is what the model goes by.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from transformer.analysis.heads import Head, all_heads
from transformer.checkpoint import Checkpoint
from transformer.decoding.steps import pad
from transformer.hooks import ablate
from transformer.model import Transformer


def shuffled(weights: Tensor, real: Tensor, generator: torch.Generator) -> Tensor:
    """Each row's weights in a random order over the real keys: [batch, head, query, key].

    Args:
        real: [batch, key], True at tokens and False at padding, which keeps its weight.
    """
    order = torch.rand(weights.shape, generator=generator)
    # Padding sorts behind all tokens, where it stands already.
    order = order.masked_fill(~real[:, None, None, :], 2.0)
    return weights.gather(-1, order.argsort(dim=-1, stable=True))


@torch.inference_mode()
def changed_by_permuting(
    model: Transformer,
    source: Tensor,
    read: Tensor,
    written: Tensor,
    heads: Sequence[Head],
    seed: int = 0,
    times: int = 5,
) -> dict[Head, float]:
    """The share of tokens that are no longer the likeliest, for each head of cross-attention.

    Args:
        source, read, written: padded ids of a batch: what the encoder and the decoder read, and
            what the decoder wrote at each position, [batch, source] and [batch, target].
        times: random orders to take the mean over.
    """
    generator = torch.Generator().manual_seed(seed)
    real_keys, real = source != model.config.pad_id, written != model.config.pad_id
    before = model(source, read).argmax(dim=-1)
    changed = {}
    for head in heads:
        shares = []
        for _ in range(times):
            with ablate(
                model,
                head.point("weights"),
                [head.head],
                lambda weights: shuffled(weights, real_keys, generator),
            ):
                after = model(source, read).argmax(dim=-1)
            shares.append((after != before)[real].float().mean().item())
        changed[head] = sum(shares) / times
    return changed


def changed_on(
    checkpoint: Checkpoint, texts: Sequence[str], seed: int = 0, times: int = 5
) -> Iterator[float | dict[Head, float]]:
    """:func:`changed_by_permuting` for every head of cross-attention, on what the model writes.

    Yields the share done, from 0 to 1, then the shares of tokens that change.
    """
    config, vocabulary = checkpoint.config, checkpoint.target_vocabulary
    answers = checkpoint.answers(texts)
    written = [[*vocabulary.encode(one.output), config.eos_id] for one in answers]
    source = pad([checkpoint.source_ids(text) for text in texts], config.pad_id)
    read = pad([[config.decoder_start_id, *row[:-1]] for row in written], config.pad_id)
    heads = [head for head in all_heads(config) if head.kind == "cross"]
    changed = dict[Head, float]()
    for number, head in enumerate(heads):
        changed |= changed_by_permuting(
            checkpoint.model, source, read, pad(written, config.pad_id), [head], seed, times
        )
        yield (number + 1) / len(heads)
    yield changed

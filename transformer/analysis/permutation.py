"""Is attention an explanation? What a model writes when a head's weights are permuted.

If the same weights on other source tokens give the same output, the attention map did not explain
it (Jain and Wallace, 2019); if the output changes, it depends on where the head looks.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from transformer.analysis.heads import Head, all_heads
from transformer.checkpoint import Checkpoint
from transformer.decoding.steps import pad
from transformer.hooks import ablate
from transformer.model import Transformer


def shuffled(weights: Tensor, real: Tensor, generator: torch.Generator) -> Tensor:
    """Permute each row's weights at random among the real keys: [batch, head, query, key].

    Args:
        real: [batch, key], True at tokens, False at padding, whose weight stays in place.
    """
    order = torch.rand(weights.shape, generator=generator)
    # Padding sorts after all tokens, which is where it already is.
    order = order.masked_fill(~real[:, None, None, :], 2.0)
    return weights.gather(-1, order.argsort(dim=-1, stable=True))


@torch.inference_mode()
def changed_by_permuting(
    model: Transformer, source: Tensor, read: Tensor, written: Tensor, seed: int = 0, times: int = 5
) -> Iterator[tuple[Head, float]]:
    """For each cross-attention head, the share of positions whose most probable token changes.

    Args:
        source, read, written: padded ids of a batch: the inputs of the encoder and the decoder,
            [batch, source] and [batch, target], and the decoder's output at each position.
        seed: of the permutations, which are the same for every head.
        times: number of permutations to average over.
    """
    real_keys, real = source != model.config.pad_id, written != model.config.pad_id
    before = model(source, read).argmax(dim=-1)
    for head in all_heads(model.config):
        if head.kind != "cross":
            continue
        replace = partial(shuffled, real=real_keys, generator=torch.Generator().manual_seed(seed))
        shares = []
        for _ in range(times):
            with ablate(model, head.point("weights"), [head.head], replace):
                after = model(source, read).argmax(dim=-1)
            shares.append((after != before)[real].float().mean().item())
        yield head, sum(shares) / times


def changed_on(
    checkpoint: Checkpoint, texts: Sequence[str], seed: int = 0, times: int = 5
) -> Iterator[float | dict[Head, float]]:
    """:func:`changed_by_permuting` on the model's own outputs for some texts.

    Yields the share done, from 0 to 1, then the share of tokens that change, for each head.
    """
    config, vocabulary = checkpoint.config, checkpoint.target_vocabulary
    answers = checkpoint.answers(texts)
    rows = [[*vocabulary.encode(one.output), config.eos_id] for one in answers]
    source = pad([checkpoint.source_ids(text) for text in texts], config.pad_id)
    read = pad([[config.decoder_start_id, *row[:-1]] for row in rows], config.pad_id)
    written, changed = pad(rows, config.pad_id), dict[Head, float]()
    for head, share in changed_by_permuting(checkpoint.model, source, read, written, seed, times):
        changed[head] = share
        yield len(changed) / (config.num_decoder_layers * config.num_heads)
    yield changed

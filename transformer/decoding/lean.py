"""One hypothesis a sentence, with nothing kept but what the output needs: no step is made.

What :class:`strategies.Greedy` and :class:`strategies.Sampling` do step by step for whoever looks,
token for token; the tests hold one to the other. What is one number a sentence is kept in NumPy,
where a call costs a fraction of what it does in PyTorch.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer.config import TransformerConfig
from transformer.decoding.engines.fused import FastSteps
from transformer.decoding.engines.single import NumpySteps
from transformer.decoding.steps import (
    DROPPED_FROM,
    OVERFLOWING,
    Decoded,
    Hypothesis,
    Outcomes,
    normalised,
)
from transformer.errors import CheckpointError

Array = NDArray[Any]


def many_paths(
    steps: FastSteps,
    config: TransformerConfig,
    limit: int,
    forced: bool,
    prefix: Sequence[int],
    choose: Callable[[int, Tensor, Tensor], Tensor],
    lead: Callable[[Tensor, Tensor], Tensor] | None,
    few: float,
) -> Outcomes:
    """A path for each sentence of a batch, until each has ended or ``few`` are left.

    Args:
        limit: most tokens; forced: whether the last of them is to be <eos>.
        prefix: ids that every output must start with.
        choose: from the position, the sentences' numbers and the log-probabilities
            [rows, vocabulary] to the tokens that are written, [rows].
        lead: from the log-probabilities and those tokens to how near the choice was, [rows].
    """
    rows = steps.batch
    sentences = torch.arange(rows, device=steps.device)  # of each row, the number
    tokens = sentences.new_full((rows,), config.decoder_start_id)
    written = np.empty((rows, limit), np.int64)
    total = numbers(torch.zeros(rows, dtype=steps.dtype))
    margins = np.full(rows, np.inf)
    going = np.ones(rows, bool)  # rows that have not ended: what becomes of others is known
    done: dict[int, Decoded] = {}
    for position in range(limit):
        last = position == limit - 1
        log_probs = normalised(steps.after(tokens), config, forced and last)
        if position < len(prefix):
            tokens = tokens.new_full(tokens.shape, prefix[position])
        else:
            tokens = choose(position, sentences, log_probs)
            if lead is not None:
                margins = np.minimum(margins, numbers(lead(log_probs, tokens)))
        total += numbers(log_probs.gather(1, tokens[:, None])[:, 0])
        written[:, position] = new = tokens.cpu().numpy()
        ended = new == config.eos_id
        for row in np.flatnonzero(going & (ended | last)).tolist():
            path, log_prob = tuple(written[row, : position + 1].tolist()), float(total[row])
            hypothesis = Hypothesis(path, log_prob, log_prob, bool(ended[row]))
            done[int(sentences[row])] = Decoded(hypothesis, float(margins[row]))
        going &= ~ended
        left = np.count_nonzero(going)
        if last or left <= few:
            yield done
            return
        if len(going) - left < DROPPED_FROM * len(going):
            yield {}
            continue
        yield done
        done = {}
        kept = torch.from_numpy(going).to(steps.device)
        steps.keep(kept)
        sentences, tokens = sentences[kept], tokens[kept]
        written, total, margins = written[going], total[going], margins[going]
        going = going[going]


def numbers(values: Tensor) -> Array:
    """The same in NumPy, which knows no half precision."""
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()
    return values.cpu().numpy()


def one_path(
    steps: NumpySteps, config: TransformerConfig, limit: int, forced: bool, prefix: Sequence[int]
) -> Hypothesis:
    """The greedy path of one sentence alone, in NumPy throughout."""
    token, written, total = config.decoder_start_id, list[int](), 0.0
    while len(written) < limit and token != config.eos_id:
        logits = steps.after(token)
        if config.pad_in_output == "renormalised":
            logits[config.pad_id] = -np.inf
        with np.errstate(invalid="ignore"):
            shifted = logits - logits.max()
        log_sum = math.log(np.add.reduce(np.exp(shifted)))
        if math.isnan(log_sum):
            raise CheckpointError(OVERFLOWING)
        if config.pad_in_output != "allowed":
            shifted[config.pad_id] = -np.inf
        last = forced and len(written) == limit - 1
        if len(written) < len(prefix):
            token = prefix[len(written)]
        else:
            token = config.eos_id if last else int(shifted.argmax())
        if last:  # <eos> gets all the probability
            total += 0.0 if token == config.eos_id else -math.inf
        else:
            total += float(shifted[token]) - log_sum
        written.append(token)
    return Hypothesis(tuple(written), total, total, token == config.eos_id)

"""Lean searches, which return outputs without a :class:`DecodingStep` per position: shared parts.

Also the lean greedy search of a single sentence. The tests check that lean searches write the same
tokens as those with steps. Values of one number per sentence are NumPy arrays, where a call costs
a fraction of what it costs in PyTorch.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer.config import TransformerConfig
from transformer.decoding.engines.engine import BatchSteps
from transformer.decoding.engines.single import NumpySteps
from transformer.decoding.steps import OVERFLOWING, Hypothesis
from transformer.errors import CheckpointError

Array = NDArray[Any]
DROPPED_FROM = 1 / 8
"""Finished sentences leave the batch once they are at least this share of it: each removal copies
the cache."""


class Rows:
    """The rows of a batch that are still computed.

    A finished sentence's row is still computed until :meth:`drop` removes it, which waits until
    :data:`DROPPED_FROM` of the batch is finished.

    sentences: for each row, its sentence's index in the original batch, [rows].
    unfinished: whether each row's sentence is unfinished, boolean, [rows].
    num_unfinished: how many are.
    stop_at: the search stops once at most this many are; see :meth:`Strategy.outcomes`.
    """

    def __init__(self, count: int, stop_at: float) -> None:
        self.sentences = np.arange(count)
        self.unfinished = np.ones(count, bool)
        self.num_unfinished = count
        self.stop_at = stop_at

    def end(self, over: Array) -> bool:
        """Mark the rows where ``over`` is True, [rows], as finished.

        Returns whether the search must stop: at most ``stop_at`` are unfinished.
        """
        self.unfinished &= ~over
        self.num_unfinished = int(np.count_nonzero(self.unfinished))
        return self.num_unfinished <= self.stop_at

    def drop(self, steps: BatchSteps, *state: Any) -> tuple[Any, ...]:
        """Remove finished rows, if there are enough, from the arrays in ``state``, [rows, ...]."""
        unfinished = self.unfinished
        if len(unfinished) - self.num_unfinished < DROPPED_FROM * len(unfinished):
            return state
        steps.keep_sentences(torch.from_numpy(unfinished).to(steps.device))
        self.sentences, self.unfinished = self.sentences[unfinished], unfinished[unfinished]
        return tuple(part[unfinished] for part in state)


def numbers(values: Tensor) -> Array:
    """The values as a NumPy array; half precision becomes float32, as NumPy has no bfloat16."""
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()
    return values.cpu().numpy()


def greedy_single(
    steps: NumpySteps, config: TransformerConfig, limit: int, forced: bool, prefix: Sequence[int]
) -> Hypothesis:
    """Greedy search for a single sentence, entirely in NumPy."""
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

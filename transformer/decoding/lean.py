"""What the searches that make no steps share, and the greedy path of one sentence.

Where only the outputs are asked for, no :class:`DecodingStep` is made; the tests hold these
searches to those with steps, token for token. What is one number a sentence is kept in NumPy, where
a call costs a fraction of what it does in PyTorch.
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
"""Done sentences are dropped once they are that share of a batch: each time costs a copy."""


class Rows:
    """Which rows of a batch are still searched.

    A row whose sentence is done is computed on until it is dropped: that copies the cache, so it
    waits until :data:`DROPPED_FROM` of the batch are done.

    sentences: of each row, the number, [rows]; going: rows that are not done, boolean, [rows].
    """

    def __init__(self, count: int, few: float) -> None:
        self.sentences = np.arange(count)
        self.going = np.ones(count, bool)
        self.left = count
        self.few = few

    def end(self, over: Array) -> bool:
        """These rows are done, boolean, [rows]; True once no more than ``few`` are left."""
        self.going &= ~over
        self.left = int(np.count_nonzero(self.going))
        return self.left <= self.few

    def drop(self, steps: BatchSteps, *state: Any) -> tuple[Any, ...]:
        """The search's state, arrays of [rows, ...], without the rows that are dropped by now."""
        going = self.going
        if len(going) - self.left < DROPPED_FROM * len(going):
            return state
        steps.keep(torch.from_numpy(going).to(steps.device))
        self.sentences, self.going = self.sentences[going], going[going]
        return tuple(part[going] for part in state)


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

"""Decode many inputs: batched by length; finished sentences leave the batch and are yielded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from transformer.config import TransformerConfig
from transformer.decoding.steps import Decoded, Hypothesis, Search, Strategy, pad
from transformer.decoding.strategies import GREEDY, decode
from transformer.model import Transformer

MOST_ROWS = {"cpu": 192, "cuda": 1024}
"""Most inputs in one batch. On a CPU, the values of more would not stay in the cache; a GPU takes
as long for a few inputs as for many."""
MOST_TOKENS = {"cpu": 6144, "cuda": 1 << 20}
"""Most source tokens in one batch, padding included, for the same reason."""
RESTART_SHARE = 1 / 8
"""Once at most this share of a batch is unfinished, the batch stops; its unfinished inputs start
again together with those of other batches. A step takes nearly as long for few inputs as for
many."""
MOST_NUMBERS = 1 << 26
"""Most floats in the largest tensors of a batch: 256 MB."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress(Generic[Result]):
    """The share done, from 0 to 1, and the new results, by the index of their input."""

    share: float
    new: Mapping[int, Result]


def decode_many(
    model: Transformer,
    rows: Sequence[Sequence[int]],
    strategy: Search = GREEDY,
    *,
    margins: bool = True,
) -> Iterator[Progress[Decoded]]:
    """Decode many inputs; yields after every step of every batch.

    The caller sees the progress, and can stop at any time and keep the results so far.

    Args:
        rows: ids of each input, ending in <eos>.
        margins: whether to compute margins. If not, they are inf, and a single input yields
            once, when it is done, since it needs no batch.
    """
    alone = len(rows) == 1 and not margins
    if alone or not isinstance(strategy, Strategy):  # the width of a function is unknown
        for place, row in enumerate(rows):
            source = torch.tensor([row], device=next(model.parameters()).device)
            [written] = decode(model, source, strategy)
            yield Progress((place + 1) / len(rows), {place: Decoded(written, torch.inf)})
        return
    config = model.config
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    most = strategy.limit(model)
    work, done = sum(map(len, rows)), 0
    while order:
        groups = list(_groups(order, rows, config, strategy.width, most, device.type))
        order = []
        for group in groups:
            stop_at = RESTART_SHARE * len(group) if len(groups) > 1 else 0
            source = pad([rows[i] for i in group], config.pad_id).to(device)
            unfinished = dict(enumerate(group))
            for found in strategy.outcomes(model, source, stop_at=stop_at, margins=margins):
                new = {unfinished.pop(place): decoded for place, decoded in found.items()}
                done += sum(len(rows[i]) for i in new)
                yield Progress(done / work, new)
            order += unfinished.values()


def decode_all(
    model: Transformer, rows: Sequence[Sequence[int]], strategy: Strategy = GREEDY
) -> list[Hypothesis]:
    """The outputs of :func:`decode_many`, in the order of the inputs."""
    found: dict[int, Decoded] = {}
    for progress in decode_many(model, rows, strategy, margins=False):
        found.update(progress.new)
    return [found[number].hypothesis for number in range(len(rows))]


def _groups(
    order: Sequence[int],
    rows: Sequence[Sequence[int]],
    config: TransformerConfig,
    width: int,
    longest_output: int,
    device: str,
) -> Iterator[Sequence[int]]:
    """Split inputs, given in ascending length, into batches that fit into the cache and memory."""
    start = 0
    while start < len(order):
        count = min(MOST_ROWS[device], len(order) - start)
        while count > 1:
            # A batch is padded to the length of its last input.
            length = len(rows[order[start + count - 1]])
            numbers = _numbers(config, length, width, longest_output)
            if count * length <= MOST_TOKENS[device] and count * numbers <= MOST_NUMBERS:
                break
            count //= 2
        end = start + count
        yield order[start:end]
        start = end


def _numbers(config: TransformerConfig, length: int, width: int, longest_output: int) -> int:
    """Floats that one input needs: encoder attention, key-value cache, and next-token scores."""
    cached = 2 * config.num_decoder_layers * config.inner_width * (length + longest_output)
    scores = (3 if config.length_penalty == "paper" else 5) * config.target_vocab_size
    return config.num_heads * length**2 + width * (cached + scores)

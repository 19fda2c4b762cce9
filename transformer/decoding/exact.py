"""Exact search: finds the most probable output and proves that no other is more probable.

It expands the most probable prefix first (Dijkstra's algorithm, after Stahlberg and Byrne, 2019).
A further token never raises an output's probability, so a finished output that is at least as
probable as every waiting prefix is the best. It pays where a model is certain; otherwise the
number of prefixes explodes.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from transformer.decoding.steps import normalised, output_limit
from transformer.decoding.strategies import Greedy, decode
from transformer.model import Memory, Transformer

MOST_EXPANSIONS = 2000
"""Prefixes expanded before the search gives up."""


@dataclass(frozen=True)
class Exact:
    """The best finished output that was found.

    tokens: ids with <eos>. log_prob: sum of their log-probabilities; no length penalty.
    empty: log-probability of the empty output. expansions: number of prefixes expanded.
    proven: whether no other output can be better; False if the search gave up.
    """

    tokens: tuple[int, ...]
    log_prob: float
    empty: float
    expansions: int
    proven: bool


@torch.inference_mode()
def exact_search(
    model: Transformer,
    source: Tensor,
    max_length: int | None = None,
    most_expansions: int = MOST_EXPANSIONS,
) -> Exact:
    """The most probable of all outputs for one sentence, [1, source] ids.

    Args:
        max_length: outputs with more tokens than this, <eos> included, are not considered.
    """
    limit = output_limit(model, max_length)
    end = model.config.eos_id
    memory = model.encode(source)
    best = _finished(decode(model, source, Greedy(max_length=limit))[0].tokens, end)
    best_log_prob = sum(_gains(model, memory, best)) if best else -torch.inf
    empty = next(_gains(model, memory, (end,)))
    order = count()  # breaks ties: of two equal prefixes, the older comes first
    waiting: list[tuple[float, int, tuple[int, ...]]] = [(0.0, next(order), ())]
    expansions = 0
    while waiting and -waiting[0][0] > best_log_prob:
        if expansions == most_expansions:
            return Exact(best, best_log_prob, empty, expansions, proven=False)
        cost, _, prefix = heapq.heappop(waiting)
        expansions += 1
        totals = _next(model, memory, prefix) - cost
        if totals[end] > best_log_prob:
            best, best_log_prob = (*prefix, end), float(totals[end])
        if len(prefix) + 1 == limit:
            continue
        totals[end] = -torch.inf
        for token in (totals > best_log_prob).nonzero().flatten().tolist():
            heapq.heappush(waiting, (-float(totals[token]), next(order), (*prefix, token)))
    return Exact(best, best_log_prob, empty, expansions, proven=bool(best))


def _finished(tokens: tuple[int, ...], end: int) -> tuple[int, ...]:
    return tokens if tokens[-1] == end else ()


def _next(model: Transformer, memory: Memory, prefix: tuple[int, ...]) -> Tensor:
    """Log-probabilities of the token after a prefix, [vocabulary]."""
    read = torch.tensor([[model.config.decoder_start_id, *prefix]])
    return normalised(model.decode(read, memory)[0, -1], model.config).double()


def _gains(model: Transformer, memory: Memory, tokens: tuple[int, ...]) -> Iterator[float]:
    """The log-probability of each token of an output."""
    read = torch.tensor([[model.config.decoder_start_id, *tokens[:-1]]])
    log_probs = normalised(model.decode(read, memory)[0], model.config)
    yield from (float(log_probs[place, token]) for place, token in enumerate(tokens))

"""How many processor threads a run's updates use: as many as a short trial finds worth it.

On a machine that is busy with something else, threads that wait for each other lose: then one is
left.
"""

import copy
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from transformer.training.batches import Batch
from transformer.training.fast_model import FastModel

FASTER = 1.2
"""Twice the threads must be so many times as fast, or they are not worth their share of the
machine."""
ROUNDS = 5
SECONDS = 0.2
"""After so much of one comparison no further round begins: of a large model there is one."""


@dataclass(frozen=True)
class Choice:
    """threads: how many. why: the rest of the sentence that begins with their number."""

    threads: int
    why: str


def available() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose(seconds_of: Callable[[int], float], most: int) -> Choice:
    """Double the threads for as long as that pays.

    Both numbers are timed in turn. All rounds but one of five must agree, so that what else runs
    on the machine is as likely to have been met as it will be.

    Args:
        seconds_of: takes a batch on so many threads, and says how long it took.
        most: threads there may be.
    """
    threads, gain, why = 1, 1.0, "there is one core for it"
    if most > 1:
        seconds_of(1)  # what is done once alone
    while threads < most:
        more = min(2 * threads, most)
        seconds_of(more)  # starts them
        ratios: list[float] = []
        spent = 0.0
        while not ratios or (len(ratios) < ROUNDS and spent < SECONDS and _lost(ratios) < 2):
            few, many = seconds_of(threads), seconds_of(more)
            ratios.append(few / many)
            spent += few + many
        found = statistics.median(ratios)
        if found < FASTER or _lost(ratios) > len(ratios) // ROUNDS:
            why = f"{more} were {found:.2f} times as fast in a trial at the start"
            if found >= FASTER:
                why += ", but slower now and then"
            break
        threads, gain = more, gain * found
        why = f"{gain:.1f} times as fast as one in a trial at the start"
    return Choice(threads, why)


def _lost(ratios: Sequence[float]) -> int:
    return sum(ratio <= 1 for ratio in ratios)


def measure(
    model: FastModel,
    batches: Sequence[Batch],
    backward: Callable[[FastModel, Batch], object],
    most: int,
) -> Choice:
    """The choice for a model on the processor; model and random state stay as they were.

    Args:
        backward: what an update does to have its gradient.
    """
    before, number = torch.get_num_threads(), 0

    def seconds_of(threads: int) -> float:
        nonlocal number
        # Both numbers take the same batch, and drop out the same places.
        batch = batches[number // 2 % len(batches)]
        torch.manual_seed(number // 2)
        number += 1
        scratch.zero_grad()
        torch.set_num_threads(threads)
        start = time.perf_counter()
        backward(scratch, batch)
        return time.perf_counter() - start

    try:
        with torch.random.fork_rng([]):
            scratch = copy.deepcopy(model).train()
            return choose(seconds_of, most)
    except RuntimeError:  # such as no room for the copy: a trial ends no run
        return Choice(1, "a trial of more did not succeed")
    finally:
        torch.set_num_threads(before)

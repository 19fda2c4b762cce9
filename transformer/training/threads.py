"""Choosing the number of CPU threads for a run's updates, by a short trial.

On a machine that is busy with something else, threads lose time by waiting for each other: then
the trial chooses one.
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
"""Twice the threads must be at least this many times as fast to be worth their cores."""
ROUNDS = 5
SECONDS = 0.2
"""No further round of a comparison begins after this time: a large model has one round."""


@dataclass(frozen=True)
class Choice:
    """threads: their number. why: the rest of a sentence that begins with this number.

    gain: how many times as fast as one thread they were.
    """

    threads: int
    why: str
    gain: float = 1.0


def available() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose(seconds_of: Callable[[int], float], most: int) -> Choice:
    """Double the number of threads as long as that pays.

    A number and its double are timed in turn. The double may be slower in one round of five, not
    more: what else runs on the machine will disturb training as often as it disturbs the trial.

    Args:
        seconds_of: computes a batch on a number of threads, and returns the seconds it took.
        most: largest number of threads.
    """
    threads, gain, why = 1, 1.0, "there is one core for it"
    if most > 1:
        seconds_of(1)  # warm-up
    while threads < most:
        more = min(2 * threads, most)
        seconds_of(more)  # starts the threads
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
    return Choice(threads, why, gain)


def _lost(ratios: Sequence[float]) -> int:
    return sum(ratio <= 1 for ratio in ratios)


def measure(
    model: FastModel,
    batches: Sequence[Batch],
    backward: Callable[[FastModel, Batch], object],
    most: int,
) -> Choice:
    """Choose the threads for a model on the CPU; model and random state are unchanged.

    Args:
        backward: computes the gradient of an update.
    """
    before, number = torch.get_num_threads(), 0

    def seconds_of(threads: int) -> float:
        nonlocal number
        # Both numbers of threads get the same batch and the same dropout.
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
    except RuntimeError:  # such as no memory for the copy: a trial must not end the run
        return Choice(1, "a trial of more did not succeed")
    finally:
        torch.set_num_threads(before)

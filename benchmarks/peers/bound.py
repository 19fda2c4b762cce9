"""How much of a decoding call is arithmetic, how much memory, and what is left for everything else.

Estimated by counting: multiplications and additions, at the rate that one large product reaches on
this core in the same run; and the bytes that every step must read, at the rate of a matrix too
large for any cache times a vector. A CPU overlaps the two, so the larger one is a lower bound: no
program that computes the same in fp32 takes less.
"""

import time
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from benchmarks.peers.sizes import Size

ARITHMETIC, MEMORY, REST = "arithmetic", "memory", "calls and all else"
FLOAT = 4
TRIES = 7


def _least(work: Callable[[], object]) -> float:
    found = []
    for _ in range(TRIES):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


@cache
def peak() -> float:
    """Multiplications and additions per second in a product of two large matrices."""
    side = 1024
    one = np.ones((side, side), np.float32)
    return 2 * side**3 / _least(lambda: one @ one)


@cache
def bandwidth() -> float:
    """Bytes per second read from memory."""
    matrix, vector = np.ones((8192, 4096), np.float32), np.ones(4096, np.float32)
    return matrix.nbytes / _least(lambda: matrix @ vector)


def arithmetic(size: Size, batch: int, beam: int, length: int, vocabulary: int) -> float:
    """Multiplications and additions in the matrix products that decode ``length`` tokens."""
    d, d_ff, rows = size.d_model, 4 * size.d_model, batch * beam
    encoder = batch * length * (8 * d * d + 4 * length * d + 4 * d * d_ff)
    source = batch * length * 4 * d * d  # the source's keys and values for each decoder layer
    positions = length * (length + 1) // 2  # earlier positions that the queries of all steps see
    attended = rows * 4 * d * (positions + length * length)
    layer = encoder + source + attended + rows * length * (12 * d * d + 4 * d * d_ff)
    return float(size.layers * layer + rows * length * 2 * d * vocabulary)


def read(size: Size, batch: int, beam: int, length: int, vocabulary: int) -> float:
    """Bytes of weights, keys and values that the steps read, each once per step."""
    d, d_ff = size.d_model, 4 * size.d_model
    weights = length * (size.layers * (6 * d * d + 2 * d * d_ff) + d * vocabulary)
    positions = length * (length + 1) // 2
    held = size.layers * 2 * d * batch * (beam * positions + length * length)
    return float(FLOAT * (weights + held))


def shares(
    seconds: float, size: Size, batch: int, beam: int, length: int, vocabulary: int
) -> dict[str, str]:
    """The facts of a row, for a call that took ``seconds`` of CPU time."""
    work = size, batch, beam, length, vocabulary
    computing, reading = arithmetic(*work) / peak(), read(*work) / bandwidth()
    rest = max(0.0, seconds - max(computing, reading))
    return {
        ARITHMETIC: f"{computing / seconds:.0%} at {peak() / 1e9:.0f} GFLOP/s",
        MEMORY: f"{reading / seconds:.0%} at {bandwidth() / 1e9:.1f} GB/s",
        REST: f"{rest / seconds:.0%}",
    }


def summary(facts: Mapping[str, str]) -> str:
    """The shares among a row's facts in one line; empty if it has none."""
    known = [f"{name} {facts[name]}" for name in (ARITHMETIC, MEMORY, REST) if name in facts]
    return ", ".join(known)

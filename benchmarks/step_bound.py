"""Measures what a training step spends its time on, and how much of it could not be saved.

    .venv/bin/python -m benchmarks.step_bound

For a model of each size, one thread, CPU time: how long the step takes, and how long its parts
would at what this core reaches at its best, measured in the same minute: the arithmetic at the rate
of one large product; what the other operations read and write at the rate of a sum of tensors of
their size; the calls at what one of them on a single number costs, its share of autograd included.
What remains is products too small for that rate, and Python.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.peers.sizes import LENGTH, SIZES, made_up_pairs
from benchmarks.peers.training import training_of
from transformer.model import Transformer
from transformer.tasks.presets import prepare
from transformer.training.batches import POOL, Share, training_batches
from transformer.training.loop import Training

PRESET = "reverse"
STEPS, WARM = 5, 2
CACHED = 1 << 20
"""Largest tensor, in bytes, that counts as being in a core's cache; larger ones count as read from
memory."""


class Counted(TorchDispatchMode):
    """Counts operations: calls, floating-point operations of products, bytes of other operations.

    bytes: [in the cache, in memory]
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.operations, self.bytes = 0, 0, [0, 0]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.calls += 1
        if func.overloadpacket in flop_registry:
            count = flop_registry[func.overloadpacket]
            self.operations += count(*args, **(kwargs or {}), out_val=found)
        elif not func.is_view:
            for leaf in tree_leaves((args, kwargs, found)):
                if isinstance(leaf, Tensor):
                    size = leaf.numel() * leaf.element_size()
                    self.bytes[size > CACHED] += size
        return found


def best(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds per call of ``work``: the fastest of five rounds of ``repeats`` calls."""
    work()
    times = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(repeats):
            work()
        times.append((time.process_time() - began) / repeats)
    return min(times)


def peaks() -> tuple[float, list[float], float]:
    """Peak operations per second; bytes per second from cache and from memory; seconds per call."""
    square = torch.randn(1024, 1024)
    arithmetic = 2 * 1024**3 / best(lambda: square @ square, 2)
    rates = []
    for numbers, repeats in ((1 << 16, 200), (1 << 24, 1)):
        x, out = torch.randn(numbers), torch.empty(numbers)
        rates.append(12 * numbers / best(lambda x=x, out=out: torch.add(x, x, out=out), repeats))  # type: ignore[misc]
    number = torch.ones(1, requires_grad=True)

    def chain() -> None:
        y = number
        for _ in range(200):
            y = y * 2.0
        y.backward()

    with Counted() as counted:
        chain()
    return arithmetic, rates, best(chain, 3) / counted.calls


def steps_of(name: str) -> tuple[str, Training, Iterator[Share]]:
    """A title, a training before its first update, and its batches."""
    if name == PRESET:
        task, config = prepare(PRESET, training={"precision": "fp32", "threads": 1})
        torch.manual_seed(1)
        training = Training(Transformer(config.model), task, config.training)
        title = f"preset {config.preset} on {PRESET}"
    else:
        size = next(size for size in SIZES if size.name == name)
        pairs = made_up_pairs(size, LENGTH, LENGTH, batches=1)
        training = training_of(size, pairs, {"precision": "fp32"}, "cpu")
        title = size.title
    training.precision = "fp32"
    model, settings = training.model.config, training.config
    return title, training, training_batches(training.task, model, settings)


def row(name: str) -> str:
    title, training, shares = steps_of(name)
    arithmetic, rates, call = peaks()
    some = sorted(islice(shares, POOL), key=lambda share: share.tokens)
    share, times = some[POOL // 2], []  # a batch of median length
    for _ in range(STEPS + WARM):
        began = time.process_time()
        training._update(share, *training.differentiate(share))
        times.append(time.process_time() - began)
    with Counted() as counted:
        training._update(share, *training.differentiate(share))
    step = statistics.median(times[WARM:])
    parts = [
        counted.operations / arithmetic,
        sum(size / rate for size, rate in zip(counted.bytes, rates, strict=True)),
        counted.calls * call,
    ]
    cells = [f"{part / step:.0%}" for part in (*parts, step - sum(parts))]
    facts = f"{counted.operations / 1e9:.2f} GFLOP, {counted.calls:,} calls"
    return f"| {title} | {1000 * step:.0f} ms | {' | '.join(cells)} | {facts} |"


def table(rows: Sequence[str]) -> str:
    head = "| training step | takes | arithmetic | memory | calls | the rest | of it |"
    return "\n".join([head, "|---" * 7 + "|", *rows])


def main() -> None:
    names = [PRESET, *(size.name for size in SIZES)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_bound", description=__doc__)
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help=", ".join(names))
    wanted = parser.parse_args().sizes or [PRESET, "tiny", "base"]
    if unknown := set(wanted) - set(names):
        parser.error(f"there is no size {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    print(table([row(name) for name in wanted]))


if __name__ == "__main__":
    main()

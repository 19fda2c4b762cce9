"""Measures training at the paper's base size and batch: the tokens per second, and the share of
the machine's arithmetic that they use (model FLOP utilisation).

    python -m benchmarks.paper_base [--device cuda] [--peak 989]

About 25,000 source and 25,000 target tokens a batch (section 5.1), 37,000 words, dropout and label
smoothing as in the paper; beside it nn.Transformer as PyTorch's tutorial has it, in the same loop
as everywhere in these benchmarks, in float32 and under autocast. Meant for a graphics card: a
processor takes minutes for an update (``--tokens`` makes the batch smaller).
"""

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import torch

from benchmarks.__main__ import RESULTS
from benchmarks.peers.growth import flops
from benchmarks.peers.machine import describe
from benchmarks.peers.measure import Sample, Spread, clock, interleave
from benchmarks.peers.sizes import SIZES, Size, made_up_pairs
from benchmarks.peers.training import full_batches, own_sample, own_steps, peer_sample
from benchmarks.peers.training_peers import NN, PEERS

LENGTH = 32
WORDS = 37_000
STEPS = 4
"""Updates per round."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_base", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--tokens", type=int, default=25_000, help="of a side of a batch")
    parser.add_argument("--seconds", type=float, default=60, help="for all rounds together")
    parser.add_argument("--peak", type=float, help="TFLOP/s in bfloat16, as the maker states them")
    return parser.parse_args()


def matrix_peak(device: str, dtype: torch.dtype) -> float:
    """FLOP/s of a product of two large square matrices: the best of ten."""
    n = 8192 if device == "cuda" else 1024
    a, b = torch.randn(2, n, n, device=device, dtype=dtype)
    times = []
    for _ in range(11):
        began = clock(device)
        a @ b
        times.append(clock(device) - began)
    return 2.0 * n**3 / min(times[1:])


def variants(size: Size, device: str) -> dict[str, Sample]:
    """Variant -> a function that makes :data:`STEPS` updates and returns their tokens."""
    task = made_up_pairs(size, LENGTH, LENGTH, batches=4)
    tokens = max(len(task.source_vocabulary), len(task.target_vocabulary))
    batches = full_batches(size, task, 4, device)
    worth = float(STEPS * 2 * size.batch * LENGTH)
    found = {
        f"ours, {name}": own_sample(
            own_steps(size, task, {"precision": name}, device), STEPS, worth
        )
        for name in PRECISIONS
    }
    return found | {
        f"{NN}, {name}": peer_sample(PEERS[NN], size, tokens, batches, STEPS, worth, dtype)
        for name, dtype in PRECISIONS.items()
    }


def main() -> int:
    options = arguments()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here; --device cpu --tokens 500 gives an idea.")
        return 2
    size = replace(SIZES[-1], batch=max(1, options.tokens // LENGTH), words=WORDS)
    work = flops(size, LENGTH, LENGTH) / (2 * size.batch * LENGTH)
    machine = describe(options.device)
    peaks = {name: matrix_peak(options.device, dtype) for name, dtype in PRECISIONS.items()}
    began = time.perf_counter()
    found = interleave(variants(size, options.device), 25, options.seconds, options.device)
    lines: dict[str, Any] = {}
    for name, samples in found.items():
        seconds, peak = Spread.of(samples), peaks[name[-4:]]
        lines[name] = {
            "tokens a second": round(1 / seconds.median),
            "quartiles": [round(1 / seconds.upper), round(1 / seconds.lower)],
            "TFLOP/s": round(work / seconds.median / 1e12, 1),
            "of one large product's": round(work / seconds.median / peak, 3),
        }
        if options.peak and name.endswith("bf16"):
            lines[name]["of the stated peak"] = round(
                work / seconds.median / options.peak / 1e12, 3
            )
    result = {
        "machine": machine | {"load after": list(os.getloadavg())},
        "batch": f"{size.batch} pairs of {LENGTH} + {LENGTH} tokens",
        "GFLOP a token": round(work / 1e9, 3),
        "one large product, TFLOP/s": {name: round(one / 1e12, 1) for name, one in peaks.items()},
        "seconds": round(time.perf_counter() - began),
        "training": lines,
    }
    if options.device == "cuda":
        result["memory, GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)
    text = json.dumps(result, indent=1)
    print(text)
    (RESULTS / f"paper_base-{options.device}.json").write_text(text + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

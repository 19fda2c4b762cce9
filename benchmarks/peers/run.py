"""Measure the selected parts and write the results."""

import argparse
import json
import logging
import os
import time
import warnings
from pathlib import Path

import torch

from benchmarks.peers import capture, cold, decoding, growth, training
from benchmarks.peers.machine import describe
from benchmarks.peers.page import page
from benchmarks.peers.rows import Plan, Row
from benchmarks.peers.sizes import SIZES
from benchmarks.peers.targets import table

MEASURES = {
    "training": training.measure,
    "decoding": decoding.measure,
    "capture": capture.measure,
    "growth": growth.measure,
    "cold": cold.measure,
}


def run(options: argparse.Namespace, path: Path) -> int:
    """Returns the exit status: 0, or 2 if the device does not exist."""
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here.")
        return 2
    _quiet_peers()
    torch.set_num_threads(1)
    names = options.sizes or [size.name for size in SIZES[: 2 if options.quick else None]]
    sizes = [size for size in SIZES if size.name in names]
    plan = Plan(sizes, options.quick, options.device, options.seconds)
    machine, rows, began = describe(options.device), list[Row](), time.perf_counter()
    for part in options.only:
        for row in MEASURES[part](plan):
            rows.append(row)
            print(_line(row), flush=True)
    machine |= {
        "seconds": round(time.perf_counter() - began),
        "load after": [round(load, 2) for load in os.getloadavg()],
        "clock": "CPU time" if options.device == "cpu" else "wall, the GPU's work done",
    }
    path.parent.mkdir(exist_ok=True)
    plain = {"machine": machine, "rows": [row.to_dict() for row in rows]}
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", "utf-8")
    path.with_suffix(".html").write_text(page(machine, rows), "utf-8")
    print(
        f"\n{table(rows, options.device)}\n\nWritten: {path} and {path.with_suffix('.html').name}"
    )
    return 0


def _quiet_peers() -> None:
    """Turn off the peers' progress bars and notices, which would appear between the results."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    try:
        from transformers.utils import logging as theirs
    except ImportError:
        return
    theirs.disable_progress_bar()
    theirs.set_verbosity_error()


def _line(row: Row) -> str:
    others = [name for name in row.samples if name != row.ours]
    found = [f"{name} {row.ratio(name).median:.2f}" for name in others]
    if len(row.samples) == 1 or row.part == cold.PART:
        found = [f"{name} {1 / row.rate(name):.2f} s" for name in row.samples]
    facts = [f"{name}: {value}" for name, value in row.facts.items() if name != "batch"]
    return f"{row.part}, {row.case} {row.size}: {', '.join(found)} {'; '.join(facts)}".strip()

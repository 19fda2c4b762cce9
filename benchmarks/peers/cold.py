"""Cold starts, in wall-clock seconds: each in a new process that has imported nothing."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.measure import Sample, interleave
from benchmarks.peers.rows import OURS, Plan, Row
from benchmarks.peers.training_peers import MARIAN, installed

PART = "cold start"
ROOT = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds to wait for a trainer's first metrics."""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
IMPORTS = {
    OURS: "from transformer import Transformer; Transformer",
    "import transformer": "import transformer",
    "import torch": "import torch",
    MARIAN: "from transformers import MarianMTModel; MarianMTModel",
}
NOTES = {
    OURS: "the model, and with it torch",
    "import transformer": "public names are loaded when they are used",
}


def python(code: str) -> Sample:
    def run() -> float:
        subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, cwd=ROOT)
        return 1.0

    return run


def first_metrics() -> float:
    """Train a small model from the command line until its first line of metrics, then stop it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        words = ["train", "--task", "reverse", "--preset", "tiny", "--run-dir", str(path)]
        process = subprocess.Popen(
            [sys.executable, "-m", "transformer", *words, "--threads", "1"],
            env=ENVIRONMENT | {"OMP_WAIT_POLICY": "PASSIVE"},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        metrics, end = path / "metrics.jsonl", time.monotonic() + PATIENCE
        try:
            while not (metrics.exists() and b"\n" in metrics.read_bytes()):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("The trainer ended or hung before its first metrics.")
                time.sleep(0.005)
        finally:
            process.kill()
            process.wait()
    return 1.0


def measure(plan: Plan) -> Iterator[Row]:
    rounds = 2 if plan.quick else 9
    known = {name: code for name, code in IMPORTS.items() if name != MARIAN}
    if installed("transformers", MARIAN):
        known[MARIAN] = IMPORTS[MARIAN]
    samples = {name: python(code) for name, code in known.items()}
    found = interleave(samples, rounds, plan.seconds, "wall")
    yield Row(PART, "import", "", "start", found, NOTES, {"clock": "wall"})
    found = interleave({OURS: first_metrics}, rounds, plan.seconds, "wall")
    yield Row(
        PART,
        "python -m transformer train to its first metrics",
        "",
        "start",
        found,
        {OURS: "task reverse, preset tiny: the untrained loss on 1,000 pairs"},
        {"clock": "wall"},
    )

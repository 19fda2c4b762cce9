"""Measures how much processor time of training a model needs until it solves a task.

    python -m benchmarks.solved [--quick] [TASK ...]

A task is solved once the exact match on held-out examples, as the median of several seeds, reaches
99 %, or the share in ``MARKS``, and stays there. The recipe of the task, beside the one before it
(Adam; for pronunciation that of the bundled model, which is wider, else the same model) and beside
nn.Transformer of the same size as PyTorch's tutorial trains it (Adam at a constant 1e-4, dropout
0.1), which gets as many updates as the recipe before. One thread; evaluations are not counted.
Writes ``benchmarks/results/solved.json`` after every run, and prints the table; ``--table`` only
that.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
MARK = 0.99
MARKS = {"scan-simple": 0.998, "pronunciation": 0.685}
"""Exact match that counts as solved, where it is not :data:`MARK`: for SCAN and pronunciation what
the recipe before reached, or nearly; for pronunciation no model is always right."""
PRECISIONS = {"pronunciation": "bf16"}
"""Precision for wide models, if the CPU has units for it; small models gain nothing."""
BEFORE: Mapping[str, Mapping[str, Any]] = {
    "copy": {"steps": 1500},
    "reverse": {"steps": 1500},
    "sort": {"steps": 1500},
    "addition-reversed": {"steps": 2500},
    "addition": {"steps": 3500},
    "dates": {"steps": 2000},
    "numbers": {"steps": 4000},
    "scan-simple": {"steps": 6000, "batch_size": 64, "learning_rate": 1e-3},
    "pronunciation": {
        "steps": 11_300,
        "learning_rate": 1.2e-3,
        "warmup_steps": 400,
        "decay_fraction": 0.5,
    },
}
"""The earlier recipe of each task, apart from :data:`OLD`, which all had in common."""
OLD = {
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "warmup_steps": 100,
    "decay_fraction": 0.4,
    "batch_size": 128,
    "bucketing": True,
}
MODEL_BEFORE: Mapping[str, Mapping[str, Any]] = {
    "pronunciation": {"d_model": 192, "d_ff": 768, "dropout": 0.1}
}
NOW, ADAM, NN = "ours", "ours, the recipe before", "nn.Transformer, the tutorial's recipe"
VARIANTS = {"now": NOW, "before": ADAM, "tutorial": NN}
POINTS = 20
"""Number of evaluations per run, evenly spread over its updates."""

Curve = list[tuple[int, float, float]]
"""Points of (update, CPU seconds of training so far, held-out exact match)."""


@dataclass(frozen=True)
class Training:
    """One run of one variant."""

    task: str
    variant: str
    seed: int
    curve: Curve


def solved(curves: Sequence[Curve], mark: float = MARK) -> tuple[float, int] | None:
    """The seconds and updates from which on the seeds' median stays at or above ``mark``."""
    found = None
    for points in zip(*curves, strict=True):
        if statistics.median(point[2] for point in points) >= mark:
            if found is None:
                found = statistics.median(point[1] for point in points), points[0][0]
        else:
            found = None
    return found


def table(runs: Sequence[Training]) -> str:
    """The table of docs/speed.md, in Markdown."""
    lines = [
        "| task (seeds) | " + " | ".join(VARIANTS.values()) + " | times as fast as before |",
        "|---|" + "---|" * (len(VARIANTS) + 1),
    ]
    for task in dict.fromkeys(run.task for run in runs):
        curves = {
            name: [run.curve for run in runs if (run.task, run.variant) == (task, name)]
            for name in VARIANTS.values()
        }
        counts = sorted({len(found) for found in curves.values() if found})
        many = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        mark = MARKS.get(task, MARK)
        cells = [_cell(found, mark) for found in curves.values()]
        now, before = (solved(curves[name], mark) if curves[name] else None for name in (NOW, ADAM))
        ratio = f"{before[0] / now[0]:.1f}" if now and before else "–"
        aim = f", to {mark:.1%}" if mark != MARK else ""
        lines.append(f"| {task} ({many}){aim} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def _cell(curves: Sequence[Curve], mark: float) -> str:
    if not curves:
        return "not measured"
    last = statistics.median(curve[-1][2] for curve in curves)
    seconds = statistics.median(curve[-1][1] for curve in curves)
    reached = solved(curves, mark)
    if reached is None:
        return f"not in {seconds:.0f} s: {last:.1%}"
    return f"{reached[0]:.0f} s, {reached[1]:,} updates; {last:.1%} after {seconds:.0f} s"


def measure(task: str, variant: str, seed: int, examples: int) -> Training:
    """Train once, with evaluations that do not count towards the time."""
    import torch

    from transformer.model import Transformer
    from transformer.tasks.presets import prepare
    from transformer.training.batches import training_batches
    from transformer.training.loop import Training as Run
    from transformer.training.loop import evaluate_outputs

    changes: dict[str, Any] = {} if variant == NOW else {**OLD, **BEFORE[task]}
    precision = PRECISIONS.get(task, "fp32")
    fixed = {"seed": seed, "threads": 1, "precision": precision, "eval_every": 1_000_000}
    model_changes = MODEL_BEFORE.get(task) if changes else None
    training = changes | fixed | {"final_examples": 1}
    built, config = prepare(task, model=model_changes, training=training)
    settings = config.training
    pairs = built.held_out(examples)
    torch.manual_seed(seed)
    points = {round(settings.steps * n / POINTS) for n in range(1, POINTS + 1)}
    curve, spent = Curve(), 0.0
    if variant == NN:
        from benchmarks.peers.solved_tutorial import Tutorial

        tutorial = Tutorial(config.model)
        shares = training_batches(built, config.model, settings)
        for step in range(1, settings.steps + 1):
            began = time.process_time()
            tutorial.step(next(shares).batch)
            spent += time.process_time() - began
            if step in points:
                curve.append((step, round(spent, 2), tutorial.exact_match(built, pairs)))
        return Training(task, variant, seed, curve)
    model = Transformer(config.model)
    updates = Run(model, built, settings).events()
    began = time.process_time()
    for event in updates:
        if type(event).__name__ == "StepEnd" and event.step == 0:
            began = time.process_time()  # the evaluation of the untrained model is over
        if type(event).__name__ == "Update":
            spent += time.process_time() - began
            if event.step in points:
                found = evaluate_outputs(model, built, pairs, event.step).exact_match
                curve.append((event.step, round(spent, 2), found))
            began = time.process_time()
    return Training(task, variant, seed, curve)


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    variants = options.variants or (["now", "before"] if options.quick else list(VARIANTS))
    for task in options.tasks or (["reverse"] if options.quick else list(BEFORE)):
        for seed in range(1, 1 + (1 if options.quick else options.seeds)):
            for variant in variants:
                yield task, VARIANTS[variant], seed


def read(path: Path) -> list[Training]:
    """The runs measured so far, also by other processes."""
    plain = json.loads(path.read_text("utf-8")) if path.exists() else {"runs": []}
    return [Training(**run) for run in plain["runs"]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solved", description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(BEFORE))
    parser.add_argument("--quick", action="store_true", help="one task, one seed, no tutorial")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, help="only these recipes")
    parser.add_argument("--examples", type=int, default=1000, help="held-out inputs")
    parser.add_argument("--table", action="store_true", help="only print the table of the JSON")
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(BEFORE):
        parser.error(f"no recipe is known for {', '.join(sorted(unknown))}")
    path = RESULTS / f"solved{'-quick' * options.quick}.json"
    if options.table:
        print(table(read(path)))
        return 0
    # Set before torch is imported: one thread, which does not spin while it waits.
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    import torch

    from benchmarks.peers.machine import describe

    torch.set_num_threads(1)
    machine = describe("cpu")
    for task, variant, seed in wanted(options):
        run = measure(task, variant, seed, options.examples)
        others = [r for r in read(path) if (r.task, r.variant, r.seed) != (task, variant, seed)]
        runs = sorted(
            [*others, run],
            key=lambda r: (
                list(BEFORE).index(r.task),
                list(VARIANTS.values()).index(r.variant),
                r.seed,
            ),
        )
        _, seconds, exact = run.curve[-1]
        print(f"{task}, {variant}, seed {seed}: {exact:.1%} after {seconds:.0f} s", flush=True)
        plain = {"machine": machine, "runs": [asdict(run) for run in runs]}
        path.write_text(json.dumps(plain, ensure_ascii=False) + "\n", "utf-8")
    print(f"\n{table(read(path))}\n\nWritten: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

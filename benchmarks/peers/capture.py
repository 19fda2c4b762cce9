"""The cost of keeping every attention map of an evaluation forward pass."""

from collections.abc import Iterator

import torch

from benchmarks.peers.measure import Sample
from benchmarks.peers.rows import Plan, Row
from benchmarks.peers.sizes import LENGTH, Size
from transformer.hooks import hook_points, record
from transformer.model import Transformer

PART = "capture"
OFF, MAPS, ALL = "capture off", "every attention map", "every hook point"


def compare(size: Size, plan: Plan) -> Row:
    torch.manual_seed(1)
    model = Transformer(size.config()).to(plan.device).eval()
    source, target = torch.randint(4, size.words, (2, size.batch, LENGTH), device=plan.device)
    maps = [name for name in hook_points(model) if name.endswith(".weights")]
    times = 8 // size.layers

    def sample(names: list[str] | None) -> Sample:
        @torch.inference_mode()
        def run() -> float:
            for _ in range(times):
                with record(model, names) as trace:
                    model(source, target)
                assert names is None or len(trace) == len(names)
            return float(times)

        return run

    found = plan.measure({OFF: sample([]), MAPS: sample(maps), ALL: sample(None)})
    notes = {MAPS: f"{len(maps)} tensors, by reference", ALL: "scores, keys, residuals and more"}
    case = f"{size.batch} pairs of {LENGTH} + {LENGTH} tokens"
    return Row(PART, "evaluation forward", size.name, "pass", found, notes, {"batch": case}, OFF)


def measure(plan: Plan) -> Iterator[Row]:
    for size in plan.sizes:
        yield compare(size, plan)

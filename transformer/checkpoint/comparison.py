"""Two checkpoints side by side: what differs in their headers, and how far apart their weights
are."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformer.checkpoint.header import Header
from transformer.config.architecture import TITLES, parameters_by_part, part_of

if TYPE_CHECKING:
    from transformer.checkpoint.checkpoint import Checkpoint

SCORES = {
    "exact_match": "exact match",
    "loss": "loss",
    "token_accuracy": "tokens right",
    "untrained_exact_match": "untrained exact match",
    "untrained_loss": "untrained loss",
    "examples": "pairs scored on",
}


@dataclass(frozen=True)
class Line:
    """One property of both checkpoints; None where a checkpoint lacks it."""

    group: str
    name: str
    left: Any
    right: Any

    @property
    def differs(self) -> bool:
        return bool(self.left != self.right)


def compare(left: Header, right: Header) -> list[Line]:
    """Scores, training, architecture, parameters and file of both, in this order."""
    scores = [
        {title: getattr(one.summary, name, None) for name, title in SCORES.items()}
        for one in (left, right)
    ]
    configs = (left.config.to_dict(), right.config.to_dict())
    lines = [
        *_lines("Scores", *scores),
        *_lines("Training", _training(left), _training(right)),
        *(line for line in _lines("Architecture", *configs) if not line.name.endswith("_id")),
        *_lines("Parameters", _parameters(left), _parameters(right)),
        *_lines("File", _file(left), _file(right)),
        *(_vocabularies(side, left, right) for side in ("source", "target")),
    ]
    return [line for line in lines if line.left is not None or line.right is not None]


def _lines(group: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Line]:
    names = [*left, *(name for name in right if name not in left)]
    return [Line(group, name, left.get(name), right.get(name)) for name in names]


def _training(header: Header) -> dict[str, Any]:
    data, summary = header.data.to_dict(), header.summary
    if summary is None:
        return {"task": data["task"]}
    facts = {name: getattr(summary, name) for name in ("preset", "steps", "seed", "seconds")}
    # Already in ``facts``, or without influence on the weights.
    left_out = (*facts, "threads")
    settings = {name: value for name, value in summary.training.items() if name not in left_out}
    return {"task": data.pop("task"), **facts, **settings, **data}


def _parameters(header: Header) -> dict[str, int]:
    parts = {part.title: part.count for part in parameters_by_part(header.config)}
    return {**parts, "all": header.config.num_parameters}


def _file(header: Header) -> dict[str, str | None]:
    names = {name: name for name in ("origin", "licence", "precision", "notes")}
    names["sha256"] = "SHA-256"
    return {title: getattr(header, name) or None for name, title in names.items()}


def _vocabularies(side: str, left: Header, right: Header) -> Line:
    ours, theirs = (getattr(one, f"{side}_vocabulary") for one in (left, right))
    said = [f"{len(one):,} {one.kind}" for one in (ours, theirs)]
    if ours != theirs and said[0] == said[1]:
        said[1] += ", but not the same"
    return Line("File", f"{side} vocabulary", *said)


@dataclass(frozen=True)
class Distance:
    """How far apart two models are in one part.

    relative: the norm of the difference over the mean norm of both. 0: equal; √2: unrelated
        weights of the same norm.
    cosine: of the angle between the two; None if one has norm 0.
    """

    title: str
    relative: float
    cosine: float | None


def weights_distance(left: "Checkpoint", right: "Checkpoint") -> list[Distance] | None:
    """Distances by part, in the order of ``TITLES``; None if the tensors' shapes differ."""
    shapes = [{name: one.shape for name, one in side.tensors.items()} for side in (left, right)]
    if shapes[0] != shapes[1]:
        return None
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
    for name, tensor in left.tensors.items():
        ours, theirs = tensor.double(), right.tensors[name].double()
        found = (
            (ours - theirs).square().sum(),
            ours.square().sum(),
            theirs.square().sum(),
            (ours * theirs).sum(),
        )
        total = sums[part_of(name, left.config)]
        for place, value in enumerate(found):
            total[place] += value.item()
    return [_distance(title, *sums[name]) for name, title in TITLES.items() if name in sums]


def _distance(title: str, apart: float, ours: float, theirs: float, product: float) -> Distance:
    lengths = math.sqrt(ours), math.sqrt(theirs)
    mean, both = sum(lengths) / 2, lengths[0] * lengths[1]
    cosine = max(-1.0, min(1.0, product / both)) if both else None
    return Distance(title, math.sqrt(apart) / mean if mean else 0.0, cosine)

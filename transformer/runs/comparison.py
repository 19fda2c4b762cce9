"""Comparing runs: which settings differ, curves on one axis, where repeated runs differ."""

import hashlib
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from transformer.config import DataConfig, RunConfig, TrainingConfig, TransformerConfig
from transformer.config.names import name_of, shown
from transformer.files import write_csv
from transformer.runs.directory import Run
from transformer.runs.metrics import Record, by_step, thinned
from transformer.tasks import title_of

MAX_POINTS = 600
"""Most points of one curve that a chart gets; a screen shows no more."""
SAME_DIGITS = 6
"""Significant digits in which baselines must agree to be drawn as one line."""

X_AXES = {
    "step": "step (updates made)",
    "seconds": "seconds",
    "tokens": "source and target tokens (padding included)",
}
"""The quantities that curves can be drawn over, with the axis's title."""


# --- configs --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A setting that differs between runs: its name, its help, its value in each run."""

    name: str
    help: str
    values: tuple[str, ...]


PARTS: tuple[tuple[str, type[Any]], ...] = (
    ("data", DataConfig),
    ("model", TransformerConfig),
    ("training", TrainingConfig),
)


def differences(configs: Sequence[RunConfig]) -> list[Difference]:
    """The settings that are not equal in all configs, in the order of the form."""
    if not configs:
        return []
    rows: list[tuple[str, str, list[object]]] = [
        ("Preset", "The named set of settings it started from.", [c.preset for c in configs]),
        (
            "Parameters",
            "Numbers that training adjusts; follows from the other settings.",
            [c.model.num_parameters for c in configs],
        ),
    ]
    for part, kind in PARTS:
        for item in fields(kind):
            values = [getattr(getattr(config, part), item.name) for config in configs]
            if item.name == "task":
                values = [title_of(str(name)) for name in values]
            rows.append((name_of(item.name), item.metadata["help"], values))
    return [
        Difference(name, help, tuple(map(shown, values)))
        for name, help, values in rows
        if any(value != values[0] for value in values)
    ]


# --- curves ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curves:
    """A run's curves, ready to be drawn over those of other runs.

    train: points [step, seconds, tokens, loss, learning rate].
    evaluation: points [step, seconds, tokens, loss, exact match], None where not measured.
    baselines: name -> loss in nats.
    """

    train: list[list[float | None]]
    evaluation: list[list[float | None]]
    baselines: dict[str, float]


def curves(records: Iterable[Record], target_vocab_size: int) -> Curves:
    """The curves of a run. The tokens of an evaluation are those trained on until then."""
    records = list(records)
    train, evaluations = by_step(records, "train"), by_step(records, "eval")
    seen = _Line([(0, 0), *((step, record.tokens) for step, record in train.items())])
    untrained = evaluations.get(0, Record("eval", 0))
    baselines = {
        "untrained model": untrained.loss,
        "uniform guess, ln|V|": math.log(target_vocab_size),
        "guess by frequency": untrained.unigram,
    }
    return Curves(
        train=[
            [step, one.seconds, one.tokens, one.loss, one.learning_rate]
            for step, one in thinned([*train.items()], MAX_POINTS)
        ],
        evaluation=[
            [step, one.seconds, seen.at(step), one.loss, one.exact_match]
            for step, one in thinned([*evaluations.items()], MAX_POINTS)
        ],
        baselines={name: loss for name, loss in baselines.items() if loss is not None},
    )


class _Line:
    """Linear interpolation between points of increasing x; constant after the last."""

    def __init__(self, points: Iterable[tuple[float, float | None]]) -> None:
        known = [(x, y) for x, y in points if y is not None]
        self.x = [x for x, _ in known]
        self.y = [y for _, y in known]

    def at(self, x: float) -> float:
        after = bisect_left(self.x, x)
        if after == len(self.x):
            return self.y[-1]
        if self.x[after] == x:
            return self.y[after]
        left, right = self.x[after - 1], self.x[after]
        share = (x - left) / (right - left)
        return self.y[after - 1] + share * (self.y[after] - self.y[after - 1])


@dataclass(frozen=True)
class Baseline:
    """A loss reached without training, and the indices of the runs that it applies to."""

    name: str
    loss: float
    runs: tuple[int, ...]


def baselines(of: Sequence[Curves]) -> list[Baseline]:
    """The baselines of all runs; those that are equal in several runs appear once."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, one in enumerate(of):
        for name, loss in one.baselines.items():
            found[name, f"{loss:.{SAME_DIGITS}g}"].append(place)
    return [
        Baseline(name, of[places[0]].baselines[name], tuple(places))
        for (name, _), places in found.items()
    ]


COLUMNS = ("run", "id", "step", "seconds", "tokens", "kind", "loss", "exact_match")


def curves_csv(runs: Sequence[tuple[str, Run]]) -> bytes:
    """Every recorded point of the runs as tidy CSV, one row per point, with the learning rate."""
    names = (*COLUMNS[2:], "token_accuracy", "learning_rate")
    return write_csv(
        (*COLUMNS, "token_accuracy", "learning_rate"),
        (
            (title, run.id, *(getattr(record, name) for name in names))
            for title, run in runs
            for record in run.metrics()
        ),
    )


# --- repeats --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repeat:
    """Two runs of the same :func:`origin`, by their indices, and whether their values are equal.

    step: the last step recorded in both; or, if values differ, the first step at which they do.
    points: number of recorded values that are equal.
    differs: the first quantity that differs and its two values, or None.
    """

    first: int
    second: int
    step: int
    points: int
    differs: tuple[str, float, float] | None


COMPARED = ("loss", "tokens", "learning_rate", "token_accuracy", "exact_match", "unigram")


def origin(run: Run, config: RunConfig) -> tuple[object, ...]:
    """Everything that determines a run's numbers: config with seed, pairs, parent run and step.

    Raises:
        OSError: the run's pairs cannot be read.
    """
    digest = ""
    if run.data_file is not None:
        with run.data_file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    about = run.about()
    return config, digest, repr((about["parent"], about.get("parent_step")))


def repeats(origins: Sequence[object], records: Sequence[Sequence[Record]]) -> list[Repeat]:
    """Each run compared with the first earlier run of the same origin."""
    found, first = [], dict[object, int]()
    for place, one in enumerate(origins):
        earlier = first.setdefault(one, place)
        if earlier != place:
            found.append(_compare(earlier, place, records[earlier], records[place]))
    return found


def _compare(first: int, second: int, before: Sequence[Record], after: Sequence[Record]) -> Repeat:
    """Compare all recorded values except the wall time, bit for bit."""
    sides = (_values(before), _values(after))
    common = sorted(sides[0].keys() & sides[1].keys())
    for points, key in enumerate(common):
        values = sides[0][key], sides[1][key]
        if values[0] != values[1]:
            step, kind, name, _ = key
            names = {"eval": "evaluation ", "train": "training "}
            word = (names[kind] if name == "loss" else "") + name.replace("_", " ")
            return Repeat(first, second, step, points, (word, *values))
    last = common[-1][0] if common else 0
    return Repeat(first, second, last, len(common), None)


def _values(records: Iterable[Record]) -> dict[tuple[int, str, str, int], float]:
    """(step, kind, quantity, since) -> value.

    A training loss is the mean over the updates since the line before it, so only means over the
    same updates can be compared; ``since`` is the step of that line, 0 for other quantities.
    """
    values: dict[tuple[int, str, str, int], float] = {}
    since = 0
    for record in records:
        for name in COMPARED:
            if (value := getattr(record, name)) is not None:
                mean = record.kind == "train" and name == "loss"
                values[record.step, record.kind, name, since if mean else 0] = value
        if record.kind == "train":
            since = record.step
    return values

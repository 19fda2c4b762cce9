"""A run's measurements: the only reader of ``metrics.jsonl`` and ``samples.jsonl``.

The trainer appends line by line while others read. So an incomplete last line is left for the
next read, a damaged line is skipped, and a number that cannot be true counts as missing.
"""

import io
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, BinaryIO, Self, TypedDict, TypeVar

from transformer.config import RunConfig
from transformer.files import parse_object

METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"
LARGEST = 1e15
"""Larger numbers in a file count as damage."""
MAX_POINTS = 800
"""Most points of the training loss that a chart gets; a screen shows no more."""
EARLY = 30
"""Number of updates up to which :func:`early_axis` is about linear; then it is logarithmic."""
HEAD_BYTES = 8192
"""Bytes read at the start of the metrics; the untrained model's evaluation takes fewer."""
END_BYTES = 65_536
"""Bytes read at the end of the metrics: several lines, even if they list many kinds of errors."""
TAIL_BYTES = (1 << 12, 1 << 15, 1 << 18, 1 << 21)
"""Bytes before the end of a file, tried in turn until they contain the last evaluation."""


PIECE_BYTES = 4096
"""Bytes read at each place of the metrics that is sampled for a small picture of the loss."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the metrics, or several of one step merged; None where not measured.

    kind: "train", the mean of the updates since the line before; or "eval", which is written in
        two lines: the loss, and then the scores of what the model writes by itself.
    loss: in nats per token. tokens: source and target positions trained on, padding included.
    seconds: of training so far, evaluations included.
    unigram: loss of guessing by frequency; guess: share of answers that guessing without the
        source gets right. Both at step 0 only.
    examples, errors: number of evaluated examples, and of wrong ones by kind of error.
    """

    kind: str
    step: int
    seconds: float | None = None
    loss: float | None = None
    tokens: int | None = None
    learning_rate: float | None = None
    token_accuracy: float | None = None
    exact_match: float | None = None
    unigram: float | None = None
    guess: float | None = None
    examples: int | None = None
    errors: dict[str, int] | None = None

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Parse one line of the file; None if it is not valid."""
        plain = parse_object(line)
        kind, step = plain.get("kind"), plain.get("step")
        if kind not in ("train", "eval") or step is None or not _is_count(step):
            return None
        found: dict[str, Any] = {
            name: value
            for name, value in plain.items()
            if name in LIMITS
            and (type(value) is int or (type(value) is float and name not in COUNTS))
            and 0 <= value <= LIMITS[name]  # neither NaN nor infinite
        }
        if "errors" in plain and _are_errors(plain["errors"], found.get("examples")):
            found["errors"] = plain["errors"]
        return cls(kind, step, **found)

    def updated(self, later: Self) -> Self:
        """A copy of this record with the values that a later record has measured."""
        pairs = ((getattr(later, name), getattr(self, name)) for name in self.__slots__)
        return type(self)(*(before if after is None else after for after, before in pairs))


LIMITS: dict[str, float] = {
    **dict.fromkeys(("seconds", "loss", "learning_rate", "unigram", "tokens", "examples"), LARGEST),
    **dict.fromkeys(("token_accuracy", "exact_match", "guess"), 1),
}
"""The numbers of a line, each with its largest valid value."""
COUNTS = ("tokens", "examples")
LATEST = ("step", "seconds", "tokens", "loss", "exact_match")
"""The quantities that :func:`read_first_and_last` looks for at the end of a file."""


class Sample(TypedDict):
    """A held-out example: its source as text, tokens of target and output, whether it is right."""

    source: str
    target: list[str]
    output: list[str]
    right: bool


class Samples(TypedDict):
    """A line of the samples: the run's fixed held-out examples at one evaluation."""

    step: int
    samples: list[Sample]


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _are_errors(errors: Any, examples: int | None) -> bool:
    return (
        isinstance(errors, dict)
        and examples is not None
        and all(map(_is_count, errors.values()))
        and sum(errors.values()) <= examples
    )


def _parse_samples(line: bytes) -> Samples | None:
    plain = parse_object(line)
    step, samples = plain.get("step"), plain.get("samples")
    kinds = {"source": str, "target": list, "output": list, "right": bool}
    sound = (
        _is_count(step)
        and isinstance(samples, list)
        and all(
            isinstance(sample, dict)
            and all(isinstance(sample.get(name), kind) for name, kind in kinds.items())
            for sample in samples
        )
    )
    return Samples(step=plain["step"], samples=plain["samples"]) if sound else None


# --- Files ----------------------------------------------------------------------------------


def read_metrics(run_path: Path, offset: int = 0) -> tuple[list[Record], int]:
    """The records from a byte offset on, and the offset for the next read.

    If the file was truncated since, as when a run is resumed, it is read from the start, and the
    new offset is below the old one.
    """
    return _read(run_path / METRICS, offset, Record.parse)


def read_samples(run_path: Path, offset: int = 0) -> tuple[list[Samples], int]:
    """The entries of the samples from a byte offset on, as :func:`read_metrics` reads records."""
    return _read(run_path / SAMPLES, offset, _parse_samples)


def _read(path: Path, offset: int, parse: Callable[[bytes], T | None]) -> tuple[list[T], int]:
    try:
        with path.open("rb") as file:
            if offset > file.seek(0, io.SEEK_END):
                offset = 0  # the file was truncated
            file.seek(offset)
            content = file.read()
    except OSError:
        return [], 0
    return list(_sound(_lines(content), parse)), offset + content.rfind(b"\n") + 1


def _lines(content: bytes) -> list[bytes]:
    """The complete lines: what follows the last line break is still being written."""
    return content[: content.rfind(b"\n") + 1].splitlines()


def _sound(lines: Iterable[bytes], parse: Callable[[bytes], T | None]) -> Iterator[T]:
    return (found for line in lines if (found := parse(line)) is not None)


def has_metrics(run_path: Path) -> bool:
    """Whether the run has any metrics."""
    try:
        return (run_path / METRICS).stat().st_size > 0
    except OSError:
        return False


def last_step(run_path: Path) -> int:
    """The last step in the metrics; only their end is read."""
    try:
        with (run_path / METRICS).open("rb") as file:
            return next((record.step for record in _backwards(file, END_BYTES)), 0)
    except OSError:
        return 0


def sampled_losses(run_path: Path, most: int = 24) -> tuple[tuple[int, float], ...]:
    """(step, training loss) at up to ``most`` places in the file; a long run takes no longer."""
    found: dict[int, float] = {}
    try:
        with (run_path / METRICS).open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            for place in range(most):
                start = place * max(size - PIECE_BYTES, 0) // (most - 1)
                file.seek(start)
                lines = _lines(file.read(PIECE_BYTES))[1 if start else 0 :]
                records = _sound(lines, Record.parse)
                train = (one for one in records if one.kind == "train" and one.loss is not None)
                if (record := next(train, None)) is not None:
                    found[record.step] = record.loss or 0.0
    except OSError:
        return ()
    return tuple(sorted(found.items()))


def _backwards(file: BinaryIO, length: int) -> Iterator[Record]:
    """The records in the last ``length`` bytes of a file, the last one first."""
    file.seek(max(0, file.seek(0, io.SEEK_END) - length))
    return _sound(reversed(_lines(file.read(length))), Record.parse)


def read_first_and_last(run_path: Path) -> tuple[Record, Record]:
    """The evaluation of the untrained model, and the latest value of each of :data:`LATEST`.

    The latest loss and exact match are those of evaluations. Only the start and the end of the
    file are read, so a long run costs no more than a short one.
    """
    untrained = latest = Record("eval", 0)
    try:
        with (run_path / METRICS).open("rb") as file:
            for record in _sound(_lines(file.read(HEAD_BYTES)), Record.parse):
                if record.step > 0:
                    break
                untrained = untrained.updated(record)
            size = file.seek(0, io.SEEK_END)
            # Between two evaluations there may be many lines of training: look further back.
            for length in TAIL_BYTES:
                latest, complete = _latest(_backwards(file, length))
                if complete or length >= size:
                    break
    except OSError:
        pass
    return untrained, latest


def _latest(backwards: Iterable[Record]) -> tuple[Record, bool]:
    """The last value of each quantity, and whether all of them were found."""
    found: dict[str, Any] = {}
    for record in backwards:
        for name in LATEST:
            value = getattr(record, name)
            if value is not None and (name != "loss" or record.kind == "eval"):
                found.setdefault(name, value)
        if len(found) == len(LATEST):
            break
    return Record("eval", **{"step": 0, **found}), len(found) == len(LATEST)


# --- Curves ---------------------------------------------------------------------------------


def by_step(
    records: Iterable[Record], kind: str, before: Mapping[int, Record] | None = None
) -> dict[int, Record]:
    """Step -> record of one kind, in increasing order; records of the same step are merged.

    Args:
        before: the records known already, in increasing order of steps; not modified.
    """
    found = dict(before or {})
    last, rising = next(reversed(found), 0), True
    for record in records:
        if record.kind == kind:
            rising, last = rising and record.step >= last, record.step
            known = found.get(record.step)
            found[record.step] = known.updated(record) if known else record
    return found if rising else dict(sorted(found.items()))


def first_and_last(evaluations: Mapping[int, Record]) -> tuple[Record, Record]:
    """The untrained model's evaluation, and the newest value of each quantity.

    evaluations: in increasing order of steps.
    """
    first = evaluations.get(0, Record("eval", 0))
    return first, reduce(Record.updated, evaluations.values(), first)


def early_axis(step: float) -> float:
    """Position of a step on an axis with more room for the first updates, when most happens."""
    return math.log1p(step / EARLY)


def series(records: Mapping[int, Record], *names: str) -> list[list[float]]:
    """[step, value, ...] of every record that has all of these values."""
    points = ([step, *(getattr(one, name) for name in names)] for step, one in records.items())
    return [point for point in points if None not in point]


def thinned(
    points: Sequence[T], most: int, place: Callable[[T], float] | None = None
) -> Sequence[T]:
    """At most ``most`` of the points, evenly spaced, the first and the last included.

    Args:
        most: at least 2.
        place: a point's position, increasing, on the axis where they are to be evenly spaced;
            by default their index, of which exactly ``most`` are left.
    """
    if len(points) <= most:
        return points
    if place is None:
        return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
    start, end = place(points[0]), place(points[-1])
    kept: dict[int, T] = {}
    for point in points:
        kept.setdefault(round((most - 1) * (place(point) - start) / (end - start)), point)
    return [*list(kept.values())[:-1], points[-1]]


class History:
    """A run's metrics and samples read so far; :meth:`update` reads only what is new.

    All sessions that watch a run share one object, so an update holds its lock. Its dictionaries
    and lists are replaced, never modified: another session may be drawing them.

    train, evaluations: step -> record, in increasing order.
    """

    def __init__(self, run_path: Path) -> None:
        self.run_path = run_path
        self.lock = threading.Lock()
        self.train: dict[int, Record] = {}
        self.evaluations: dict[int, Record] = {}
        self.samples: list[Samples] = []
        self._offset = self._samples_offset = 0

    def update(self) -> None:
        """Read what was written since the last update."""
        with self.lock:
            before = self._offset
            records, self._offset = read_metrics(self.run_path, before)
            if self._offset < before:  # truncated when the run was resumed: read from the start
                self.train, self.evaluations = {}, {}
            if records:
                self.train = by_step(records, "train", self.train)
                self.evaluations = by_step(records, "eval", self.evaluations)
            before = self._samples_offset
            entries, self._samples_offset = read_samples(self.run_path, before)
            earlier = [] if self._samples_offset < before else self.samples
            self.samples = [*earlier, *entries]

    def last_step(self) -> int:
        """The last recorded step."""
        return max([0, *self.evaluations, *self.train])

    def series(self, name: str) -> list[list[float]]:
        """[step, value] of every evaluation that has the value."""
        return series(self.evaluations, name)

    def training(self) -> list[list[float]]:
        """[step, loss, seconds, tokens] of the updates."""
        return series(self.train, "loss", "seconds", "tokens")

    def curves(self, config: RunConfig) -> dict[str, Any]:
        """The data of the charts: training points are [step, loss, seconds, tokens]."""
        losses, first = self.series("loss"), self.evaluations.get(0)
        return {
            "run": self.run_path.name,
            "train": thinned(self.training(), MAX_POINTS, lambda point: early_axis(point[0])),
            "evaluation": losses,
            "exact": self.series("exact_match"),
            "untrained": losses[0][1] if losses else None,
            "uniform": math.log(config.model.target_vocab_size),
            "unigram": first.unigram if first else None,
            "steps": config.training.steps,
            "evaluated_on": evaluated_on(config),
        }


def evaluated_on(config: RunConfig) -> str:
    """What a run is evaluated on, in a few words."""
    own = config.data.evaluates_on_training_pairs
    return "the training pairs themselves" if own else "held-out pairs"

"""Finds layer norms in a recording: PyTorch's own and those written by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from transformer.doctor.graph import (
    ADDING,
    MULTIPLY_ADD,
    SCALING,
    STATISTICS,
    TARGET,
    UNKNOWN,
    Graph,
)
from transformer.doctor.recording import SHIFT, Array, Event, Recording

EXACT = 1e-8
"""Values count as equal (in 64 bits) up to this difference, as a share of the largest number."""
USUAL_EPS = (1e-5, 1e-6, 1e-12, 0.0, 1e-3)


@dataclass(frozen=True)
class Norm:
    """One layer norm: (x - mean) / deviation * gain + bias.

    before, after: the events whose results are its input and its output.
    unbiased: divides by d_model - 1. outside: eps is added to the deviation, not the variance.
    over_positions: mean and variance are those of a whole sentence.
    parameters: the leaves that hold gain and bias.
    """

    before: int
    after: int
    gain: Array
    bias: Array
    eps: float
    unbiased: bool = False
    outside: bool = False
    over_positions: bool = False
    parameters: tuple[int, ...] = ()


class Norms:
    """All layer norms. after: by the event of their output. before: by the event of their input."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.after: dict[int, Norm] = {}
        self.before: dict[int, list[Norm]] = {}
        for norm in (*self._native(), *self._by_hand()):
            self.after[norm.after] = norm
            self.before.setdefault(norm.before, []).append(norm)

    def rows(self, number: int) -> "Table | None":
        """An event's result as one row per position, whatever its layout; None if impossible."""
        return table(self.graph, number)

    def _native(self) -> Iterator[Norm]:
        for event in self.graph.events:
            if event.op != "native_layer_norm" or not event.sides:
                continue
            shape = event.args[1] if len(event.args) > 1 else None
            eps = next((x for x in reversed(event.args) if isinstance(x, float)), 1e-5)
            before = self.graph.events_of(event.reads[0])
            if len(before) != 1 or not isinstance(shape, list) or not event.shape:
                continue
            width = event.shape[-1]
            numbers, leaves = [np.ones(width), np.zeros(width)], []
            over = len(shape) > 1
            for place, read in enumerate(event.reads[1:3]):
                codes = self.graph.recording.codes(read)
                leaves += self.graph.leaves(codes)
                found = self.graph.recording.at(codes)
                if over:  # one number per position and channel: all positions must agree
                    if np.ptp(found, axis=0).max() > 0:
                        break
                    found = found[0]
                numbers[place] = found
            else:
                gain, bias = numbers
                leaf = tuple(leaves)
                yield Norm(
                    before[0], event.number, gain, bias, eps, over_positions=over, parameters=leaf
                )

    def _by_hand(self) -> Iterator[Norm]:
        for event in self.graph.events:
            if event.op not in ("sub", "sub_") or len(event.reads) != 2 or not event.sides:
                continue
            first, second = event.reads
            of = self.graph.events_of(first)
            if (
                len(of) == 1
                and self.graph.main_operand(event) is first
                and self._mean_of(of[0], second)
            ):
                yield from self._grown(of[0], event)

    def _mean_of(self, number: int, read: object) -> bool:
        """Whether an operand is a statistic of an event's result, such as its mean."""
        found = self.graph.events_of(read)  # type: ignore[arg-type]
        for _ in range(3):
            if len(found) != 1:
                return False
            event = self.graph.events[found[0]]
            if event.op.split(".")[0] in STATISTICS:
                return self.graph.events_of(event.reads[0]) == [number]
            if event.op not in ("div", "mul"):
                return False
            found = self.graph.events_of(event.reads[0])
        return False

    def _grown(self, before: int, centred: Event) -> Iterator[Norm]:
        """The norms that begin with a centred vector, one for each later step that completes one:
        after the division, after the gain, after the bias."""
        source = self.rows(before)
        if source is None:
            return
        event, gains, leaves = centred, [1.0], list[int]()
        eps = list(dict.fromkeys([*self._small_numbers(centred), *USUAL_EPS]))
        known: list[Array] = []
        for _ in range(6):
            onward = self._onward(event)
            if onward is None:
                return
            event = onward
            for read in event.reads:
                if not self.graph.sides(read):
                    codes = self.graph.recording.codes(read)
                    leaves += self.graph.leaves(codes)
                    if event.op.startswith(("mul", "addcmul")) and codes.size in (1, source.width):
                        known.append(self.graph.recording.at(codes).reshape(-1))
            found = self.rows(event.number)
            if found is None or found.codes.shape != source.codes.shape:
                continue
            made = _fitted(source, found, eps, known or [np.array(gains)])
            if made is not None:
                yield Norm(before, event.number, *made, parameters=tuple(leaves))

    def _onward(self, event: Event) -> Event | None:
        for number in self.graph.consumers.get(event.number, ()):
            user = self.graph.events[number]
            if user.op not in SCALING + ADDING + MULTIPLY_ADD or user.numel != event.numel:
                continue
            full = self.graph.full_size_operands(user)
            if len(full) == 1 and self.graph.events_of(full[0]) == [event.number]:
                return user
        return None

    def _small_numbers(self, centred: Event) -> Iterator[float]:
        """Candidates for eps: small numbers among the arguments of the next few operations."""
        for event in self.graph.events[centred.number : centred.number + 24]:
            if event.op.startswith(("add", "clamp")):
                yield from (x for x in event.args if isinstance(x, float) and 0 <= x < 0.05)
                for read in event.reads:
                    if not self.graph.sides(read) and len(read.shape) == 0:
                        value = float(self.graph.recording.at(self.graph.recording.codes(read)))
                        if 0 <= value < 0.05:
                            yield value


def without_mean(graph: Graph) -> int:
    """The first operation that divides vectors by their root mean square without subtracting the
    mean (RMSNorm); 0 if there is none."""
    for event in graph.events:
        full = graph.full_size_operands(event) if event.op in SCALING else []
        if len(full) != 1 or len(graph.data(event)) != 2 or not event.shape:
            continue
        of = graph.events_of(full[0])
        x = graph.recording.value(of[0]) if len(of) == 1 else np.empty(0)
        width, y = event.shape[-1], graph.recording.value(event.number)
        if x.size != y.size or width < 2:
            continue
        x, y = x.reshape(-1, width), y.reshape(-1, width)
        size = np.sqrt((x**2).mean(-1, keepdims=True))
        if np.abs(x.mean(-1)).max() < 1e-6 * size.max():
            continue  # centred before
        ratio = (y * x).sum(-1, keepdims=True) / np.maximum((x**2).sum(-1, keepdims=True), 1e-300)
        same = np.abs(ratio * x - y).max() < EXACT * (1 + np.abs(y).max())
        if same and np.abs(ratio * size - 1).max() < 0.01 and np.ptp(ratio) > 1e-3 * ratio.max():
            return event.number
    return 0


@dataclass(frozen=True)
class Table:
    """An event's result, one row per position.

    labels: [position]. codes: [position, width], in the order of the result. sentence: number of
    each position's sentence, [position].
    """

    recording: Recording
    labels: Array
    codes: Array
    sentence: Array

    @property
    def width(self) -> int:
        return int(self.codes.shape[1])

    @cached_property
    def values(self) -> Array:
        return self.recording.at(self.codes)


def table(graph: Graph, number: int) -> Table | None:
    """See :meth:`Norms.rows`."""
    graph.check_time()
    labels = graph.labels(number).reshape(-1)
    if not labels.size or (labels == UNKNOWN).any():
        return None
    order = np.argsort(labels, kind="stable")
    unique, counts = np.unique(labels, return_counts=True)
    if (counts != counts[0]).any():
        return None
    codes = ((number << SHIFT) + order).reshape(len(unique), -1)
    main = graph.recording.probes["main"]
    on_target = unique >= TARGET
    length = (main.target if on_target.all() else main.source).shape[1]
    return Table(graph.recording, unique, codes, (unique % TARGET) // length)


def centred_of(x: Array, sentence: Array, over: bool) -> tuple[Array, Array, Array]:
    """Subtract from x [position, width] the mean of each position, or (``over``) of its sentence.

    Returns:
        the centred x; its sum of squares and the count of numbers, [position, 1] each.
    """
    groups = np.unique(sentence, return_inverse=True)[1] if over else np.arange(len(x))
    count = np.bincount(groups) * x.shape[1]
    centred = x - (np.bincount(groups, x.sum(-1)) / count)[groups, None]
    squares = np.bincount(groups, (centred**2).sum(-1))
    return centred, squares[groups, None], count[groups, None]


def root_of(squares: Array, count: Array, unbiased: bool, outside: bool, eps: float) -> Array:
    """The divisor of a layer norm, in one of the variants that people write."""
    variance = squares / (count - unbiased)
    root = np.sqrt(variance) + eps if outside else np.sqrt(variance + eps)
    return np.maximum(root, 1e-300)


def _fitted(
    source: Table, found: Table, eps: list[float], gains: list[Array]
) -> tuple[Array, Array, float, bool, bool, bool] | None:
    """Gain, bias, eps, unbiased, outside, over of the norm from ``source`` to ``found``, or None.

    The gain can hide whether the variance is unbiased. So the variant is taken whose gain is
    nearest to one of ``gains``, by which the user's code multiplies; of several, the paper's.
    """
    if source.width < 2 or len(source.labels) < 4:
        return None
    y, best = found.values, None
    largest, middle = np.abs(y).max() + 1e-300, y.mean(0)
    around = y - middle
    parts = {over: centred_of(source.values, source.sentence, over) for over in (False, True)}
    for over, unbiased, outside, small in product((False, True), (False, True), (False, True), eps):
        centred, squares, count = parts[over]
        z = centred / root_of(squares, count, unbiased, outside, small)
        centre = z.mean(0)
        spread = ((z - centre) ** 2).sum(0)
        gain = ((z - centre) * around).sum(0) / np.maximum(spread, 1e-300)
        bias = middle - gain * centre
        error = np.abs(z * gain + bias - y).max()
        if error > EXACT * largest:
            continue
        away = min(float(np.abs(gain - known).max()) for known in gains)
        if best is None or away < best[0] - 1e-9:
            best = (away, (gain, bias, small, unbiased, outside, over))
    return None if best is None else best[1]

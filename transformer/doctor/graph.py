"""The operations of a recording as a graph: which are linear maps, and of which vectors.

Nothing here is specific to Transformers. *Data* are numbers that depend on the ids; all others are
constants. A *label* says which position a number belongs to: a sentence and a position in the
source or the target. Matrix and bias of a linear map are read exactly, as the file holds its
operands: nothing is fitted.
"""

import time
from dataclasses import dataclass

import numpy as np

from transformer.doctor.recording import INDEX, SHIFT, Array, Event, Read, Recording
from transformer.errors import CheckpointError

MOST_SECONDS = 120
TARGET = 1 << 24
"""Labels of target positions begin here."""
UNKNOWN = -1
"""The label of numbers that belong to no single position."""
MATRIX = ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv")
SCALING = ("mul", "div", "mul_", "div_", "neg")
ADDING = ("add", "sub", "add_", "sub_", "rsub")
MULTIPLY_ADD = ("addcmul", "addcmul_")
"""Multiply and add at once: a + factor · b · c."""
STATISTICS = ("mean", "var", "std", "var_mean", "std_mean", "sum", "linalg_vector_norm", "norm")


class TooLong(CheckpointError):
    """Reading a capture takes too long."""


@dataclass(frozen=True)
class Rows:
    """Results of a linear map: each is a row of data times a column of weights, plus a bias.

    data, weights: codes, [number, inner]. bias: values, [number].
    """

    data: Array
    weights: Array
    bias: Array


@dataclass(frozen=True)
class Affine:
    """Numbers as an affine function of a vector: ``scale * (weight @ base + bias)``.

    base: codes of that vector, sorted, [inner].
    weight: [number, inner]. bias: [number].
    events: the linear maps that make up the function, the last one first.
    parameters: the leaves that hold the weights.
    before: those of the linear maps that feed another one.
    """

    base: Array
    weight: Array
    bias: Array
    scale: float
    events: tuple[int, ...]
    parameters: tuple[int, ...]
    before: tuple[int, ...] = ()

    @property
    def event(self) -> int:
        """The operation that made the base."""
        return int(self.base[0]) >> SHIFT


class Graph:
    """Queries on a recording's operations, for finding attentions, norms and layers."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.events = recording.events
        self.sides = recording.sides
        self.consumers: dict[int, list[int]] = {}
        for event in self.events:
            if event.sides:
                for read in event.reads:
                    for number in self.events_of(read):
                        users = self.consumers.setdefault(number, [])
                        if not users or users[-1] != event.number:
                            users.append(event.number)
        self._labels: dict[int, Array] = {}
        self._end = time.thread_time() + MOST_SECONDS

    def check_time(self) -> None:
        """Called often while reading: a file may be crafted so that reading it never ends.

        Raises:
            TooLong: reading took more than MOST_SECONDS of processor time.
        """
        if time.thread_time() > self._end:
            raise TooLong(
                f"Reading this capture takes more than {MOST_SECONDS} s. Build the model with "
                "fewer layers; two of each kind are enough."
            )

    def events_of(self, read: Read) -> list[int]:
        """The events from whose results an operand takes numbers."""
        if not read.array:
            return [read.event]
        return [e for e in np.unique(self.recording.codes(read) >> SHIFT).tolist() if e]

    def data(self, event: Event) -> list[Read]:
        """The operands of an event that are data."""
        return [read for read in event.reads if self.sides(read)]

    def main_operand(self, event: Event) -> Read | None:
        """The first data operand of an elementwise event that has the result's size; else None."""
        found = self.full_size_operands(event)
        return found[0] if found else None

    def full_size_operands(self, event: Event) -> list[Read]:
        """All data operands that have the result's size; a residual addition has two."""
        reads = event.reads[1:] if event.op == "where" else event.reads
        return [read for read in reads if self.sides(read) and _numel(read) == event.numel]

    # --- linear maps

    def is_linear(self, event: Event) -> bool:
        """Whether an event is a matrix product of data with a constant."""
        return self._operands(event) is not None

    def is_product(self, event: Event) -> bool:
        """Whether an event is a matrix product of data with data, as in attention."""
        if event.op not in ("mm", "bmm", "baddbmm"):
            return False
        return all(self.sides(read) for read in event.reads[-2:])

    def _operands(self, event: Event) -> tuple[Read, Read, bool] | None:
        """Left operand, right operand, and whether the left is the data; None if not linear."""
        if event.op == "convolution":
            data, weight = event.reads[:2]
            plain = len(weight.shape) == 3 and weight.shape[2] == 1 and len(data.shape) == 3
            return (weight, data, False) if plain and not self.sides(weight) else None
        if event.op not in MATRIX or len(event.reads) < 2:
            return None
        left, right = event.reads[-2:]
        on_left, on_right = bool(self.sides(left)), bool(self.sides(right))
        return None if on_left == on_right else (left, right, on_left)

    def rows(self, event: Event, places: Array) -> Rows:
        """The linear map's numbers at these indices of its flattened result."""
        operands = self._operands(event)
        assert operands is not None
        left, right, data_left = operands
        a, b = self.recording.codes(left), self.recording.codes(right)
        if event.op == "convolution":
            n, m, p = np.unravel_index(places, event.shape)
            weights, data = a[m, :, 0], b[n, :, p]
            bias_reads = event.reads[2:]
            bias = np.zeros(len(places))
            if bias_reads:
                bias = self.recording.at(self.recording.codes(bias_reads[0])[m])
            return Rows(data, weights, bias)
        index = np.unravel_index(places, event.shape)
        if event.op in ("mv", "addmv"):
            rows, columns = a[index[0]], np.broadcast_to(b, (len(places), len(b)))
        elif len(index) == 3:
            rows, columns = a[index[0], index[1]], b[index[0], :, index[2]]
        else:
            rows, columns = a[index[0]], b[:, index[1]].T
        bias = np.zeros(len(places))
        if event.op in ("addmm", "baddbmm", "addmv") and not self.sides(event.reads[0]):
            whole = np.broadcast_to(self.recording.codes(event.reads[0]), event.shape)
            bias = self.recording.at(whole.reshape(-1)[places])
        return Rows(rows, columns, bias) if data_left else Rows(columns, rows, bias)

    # --- from numbers back to their inputs

    def step(self, codes: Array) -> tuple[Array, Array, Array] | None:
        """Go back one elementwise operation, if one that scales or shifts computed all numbers.

        Returns:
            codes of its input, factor and addend of each number; None for other operations.
        """
        event = self.events[int(codes[0]) >> SHIFT]
        places = codes & INDEX
        if event.op in MULTIPLY_ADD:
            return self._multiply_add_step(event, places)
        if event.op not in SCALING + ADDING or len(self.full_size_operands(event)) != 1:
            return None
        main = self.main_operand(event)
        assert main is not None
        before = self.operand(event, main, places)
        others = [read for read in event.reads if read is not main]
        if any(self.sides(read) for read in others):
            return None
        ones, zeros = np.ones(len(codes)), np.zeros(len(codes))
        if others:
            other = self.recording.at(self.operand(event, others[0], places))
        else:
            numbers = [x for x in event.args if isinstance(x, int | float) and type(x) is not bool]
            if event.op != "neg" and len(numbers) != 1:
                return None
            other = np.full(len(codes), float(numbers[0]) if numbers else -1.0)
        if event.op in ("mul", "mul_", "neg"):
            return before, other, zeros
        first = event.reads[0] is main
        if event.op in ("div", "div_"):
            return (before, 1 / other, zeros) if first else None
        if event.kwargs.get("alpha", 1) != 1:
            return None
        if event.op in ("add", "add_"):
            return before, ones, other
        if event.op == "rsub":
            return before, -ones, other
        return (before, ones, -other) if first else (before, -ones, other)

    def _multiply_add_step(self, event: Event, places: Array) -> tuple[Array, Array, Array] | None:
        """As :meth:`step`, for an operation of MULTIPLY_ADD that has one data operand."""
        data = self.data(event)
        if len(data) != 1 or len(event.reads) != 3 or data[0] is event.reads[0]:
            return None
        if _numel(data[0]) != event.numel:
            return None
        addend, *factors = (
            self.recording.at(self.operand(event, read, places))
            for read in event.reads
            if read is not data[0]
        )
        factor = float(event.kwargs.get("value", 1) or 0) * factors[0]
        return self.operand(event, data[0], places), factor, addend

    def operand(self, event: Event, read: Read, places: Array) -> Array:
        """The codes that an elementwise event reads for these indices of its flattened result."""
        codes = self.recording.codes(read)
        if codes.size == event.numel:
            return codes.reshape(-1)[places]
        return np.broadcast_to(codes, event.shape).reshape(-1)[places]

    def affine(self, codes: Array) -> Affine | None:
        """Numbers of one position as an affine function of one vector; None if they are not one.

        A factor that all numbers share goes into the scale, constant addends into the bias.
        """
        parts: list[tuple[Array, Affine]] = []
        for number in dict.fromkeys((codes >> SHIFT).tolist()):
            chosen = np.flatnonzero((codes >> SHIFT) == number)
            part = self._affine(codes[chosen])
            if part is None:
                return None
            parts.append((chosen, part))
        base = np.unique(np.concatenate([part.base for _, part in parts]))
        if len(set((base >> SHIFT).tolist())) != 1:
            return None
        scale = parts[0][1].scale
        if any(abs(part.scale - scale) > 1e-12 * abs(scale) for _, part in parts):
            return None
        weight, bias = np.zeros((len(codes), len(base))), np.zeros(len(codes))
        for chosen, part in parts:
            weight[np.ix_(chosen, np.searchsorted(base, part.base))] = part.weight
            bias[chosen] = part.bias
        events = dict.fromkeys(e for _, part in parts for e in part.events)
        leaves = dict.fromkeys(p for _, part in parts for p in part.parameters)
        before = tuple(dict.fromkeys(e for _, part in parts for e in part.before))
        return Affine(base, weight, bias, scale, tuple(events), tuple(leaves), before)

    def _affine(self, codes: Array) -> Affine | None:
        scale, shift = 1.0, np.zeros(len(codes))
        while True:
            self.check_time()
            number = int(codes[0]) >> SHIFT
            if number == 0 or ((codes >> SHIFT) != number).any():
                return None
            event = self.events[number]
            if self.is_linear(event):
                break
            found = self.step(codes)
            if found is None:
                return None
            codes, factor, addend = found
            if factor.std() > 1e-12 * abs(factor[0]):
                return None
            shift = shift + scale * addend
            scale *= float(factor[0])
        rows = self.rows(event, codes & INDEX)
        base = np.unique(rows.data)
        labels = self.labels_of(base)
        if (labels != labels[0]).any() or not scale:
            return None
        values = self.recording.at(rows.weights)
        weight = np.zeros((len(codes), len(base)))
        where = np.searchsorted(base, rows.data)
        np.add.at(weight, (np.arange(len(codes))[:, None], where), values)
        bias = rows.bias + shift / scale
        leaves = tuple(self.leaves(rows.weights))
        return self._composed(Affine(base, weight, bias, scale, (number,), leaves))

    def _composed(self, outer: Affine) -> Affine:
        """Multiply in the linear map directly before ``outer``, if there is one."""
        if len(set((outer.base >> SHIFT).tolist())) != 1:
            return outer
        inner = self._affine(outer.base)
        if inner is None:
            return outer
        weight = outer.weight @ inner.weight * inner.scale
        bias = outer.weight @ inner.bias * inner.scale + outer.bias
        events, leaves = outer.events + inner.events, outer.parameters + inner.parameters
        return Affine(inner.base, weight, bias, outer.scale, events, leaves, inner.events)

    def leaves(self, codes: Array) -> list[int]:
        """The leaves, such as parameters, that constants are computed from."""
        found: dict[int, None] = {}
        waiting = np.unique(codes >> SHIFT).tolist()
        seen = set(waiting)
        while waiting:
            number = waiting.pop()
            event = self.events[number]
            if event.op == "leaf":
                found[number] = None
                continue
            behind = {e for read in event.reads for e in self.events_of(read)} - seen
            seen |= behind
            waiting += sorted(behind)
        return list(found)

    # --- which position numbers belong to

    def labels_of(self, codes: Array) -> Array:
        """The label of each number."""
        self.check_time()
        flat = codes.reshape(-1)
        found = np.full(flat.shape, UNKNOWN, dtype=np.int64)
        for number in np.unique(flat >> SHIFT).tolist():
            if number:
                chosen = (flat >> SHIFT) == number
                found[chosen] = self.labels(number).reshape(-1)[flat[chosen] & INDEX]
        return found.reshape(codes.shape)

    def labels(self, number: int) -> Array:
        """The label of each number of an event's result."""
        if number not in self._labels:
            # In order, not by recursion: a deep model has thousands of operations in a row.
            for event in self.events[: number + 1]:
                if event.number not in self._labels:
                    self._labels[event.number] = self._label(event)
        return self._labels[number]

    def _label(self, event: Event) -> Array:
        nothing = np.full(event.shape, UNKNOWN, dtype=np.int64)
        if event.op == "leaf":
            if event.name in ("source", "target"):
                first = TARGET if event.name == "target" else 0
                return first + np.arange(event.numel).reshape(event.shape)
            return nothing
        if not event.sides:
            return nothing
        if event.op in ("embedding", "index", "index_select"):
            ids = self._read_labels(event.reads[-1])
            if ids.shape == event.shape[:-1]:
                return np.broadcast_to(ids[..., None], event.shape)
            return nothing
        if self.is_product(event) or self.is_linear(event):
            return self._product_labels(event, nothing)
        full = self.full_size_operands(event)
        if full:  # one operand may mix positions (UNKNOWN) where another does not
            labels = self._read_labels(full[0]).reshape(event.shape)
            for read in full[1:]:
                if (labels == UNKNOWN).any():
                    other = self._read_labels(read).reshape(event.shape)
                    labels = np.where(labels == UNKNOWN, other, labels)
            return labels
        data = self.data(event)
        if data and event.op.split(".")[0] in STATISTICS:
            labels = self._read_labels(data[0])
            row = _uniform(labels)
            if row.size == event.numel:
                return row.reshape(event.shape)
        return nothing

    def _product_labels(self, event: Event, nothing: Array) -> Array:
        operands = self._operands(event)
        if event.op == "convolution":
            row = _uniform(np.moveaxis(self._read_labels(event.reads[0]), 1, -1))  # [n, p]
            return np.broadcast_to(row[:, None, :], event.shape)
        left, right = event.reads[-2:]
        if operands is None or operands[2]:
            row = _uniform(self._read_labels(left))
            return np.broadcast_to(row[..., None], event.shape)
        row = _uniform(np.moveaxis(self._read_labels(right), -2, -1))
        if event.op in ("mv", "addmv"):
            return nothing
        return np.broadcast_to(row[..., None, :], event.shape)

    def _read_labels(self, read: Read) -> Array:
        return self.labels_of(self.recording.codes(read))


def _uniform(labels: Array) -> Array:
    """The label that all entries of the last axis share, or UNKNOWN: [..., n] -> [...]"""
    same = (labels == labels[..., :1]).all(axis=-1)
    return np.where(same, labels[..., 0], UNKNOWN)


def _numel(read: Read) -> int:
    found = 1
    for length in read.shape:
        found *= length
    return found

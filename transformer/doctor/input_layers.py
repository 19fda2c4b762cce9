"""Reads the embeddings of each side ("source", "target"): tokens, positions, and maybe a norm."""

from dataclasses import dataclass

import numpy as np

from transformer.doctor.graph import TARGET, UNKNOWN, Graph
from transformer.doctor.norms import Norm, Norms, Table, table
from transformer.doctor.positions import formula_of
from transformer.doctor.recording import Array, Event, Read


class Unmapped(Exception):
    """The operations cannot be read as a Transformer; the message says where and why.

    event: the operation where reading stops.
    where: the place in the model, if it certainly departs from the paper there.
    """

    def __init__(self, message: str, event: int = 0, where: str = "") -> None:
        super().__init__(message)
        self.event = event
        self.where = where


@dataclass
class Positions:
    """The positional encoding of one side.

    added: the vectors added to the tokens, [position, d_model]. leaf: the tensor that has them as
    rows, from ``first_row`` on; 0 if there is none. in_parameter: whether it is a parameter.
    """

    added: Array
    event: int
    leaf: int = 0
    first_row: int = 0
    in_parameter: bool = False

    @property
    def learned(self) -> bool:
        """Whether it is a parameter that follows no formula. One that follows a formula is frozen
        or not trained yet; one of zeros counts as learned, but is not trained yet."""
        return self.in_parameter and formula_of(self.added) in ("", "none")


@dataclass
class SideEmbedding:
    """The embedding of one side: ``scale * tokens + positions``, and a norm after it, if any.

    tokens: the table, [vocabulary, d_model]. leaf: the table's leaf. event: the look-up.
    stream: the event whose result is the sum. start_is_zero: the decoder starts from a vector of
    zeros. start: the id of the first token.
    """

    tokens: Array
    scale: float
    positions: Positions
    norm: Norm | None
    leaf: int
    event: int
    stream: int
    start_is_zero: bool = False
    start: int = 0


def read_embedding(
    graph: Graph, norms: Norms, side: str, start: int, norm: Norm | None
) -> SideEmbedding:
    """Read the embedding that enters a side's first layer as the result of event ``start``.

    Args:
        norm: the norm right after the embedding, if it is known already.

    Raises:
        Unmapped: that result is not a token's vector plus a position's.
    """
    if norm is None and (norm := norms.after.get(start)) is not None:
        start = norm.before
    found = _table_of(graph, start, side)
    rows = table(graph, start)
    if found is None or rows is None:
        raise Unmapped(
            f"The input of the first layer on the {side} side is not computed from the vectors "
            "of its tokens.",
            start,
        )
    event, leaf, embedded = found
    ids = graph.recording.probes["main"]
    ids_here = (ids.source if side == "source" else ids.target).reshape(-1)
    length = (ids.source if side == "source" else ids.target).shape[1]
    place = rows.labels % TARGET
    tokens = _all_tokens(graph, event, embedded.width)
    values, vectors = rows.values, tokens[ids_here[place]]
    scale, positions, exact = _split(values, vectors, place % length)
    zero_start = False
    if not exact:
        raise Unmapped(
            f"The input of the first layer on the {side} side is not a token's vector plus a "
            "position's vector.",
            start,
        )
    first = tokens[ids_here[place[place % length == 0][0]]]
    # At position 0 the token is always the same: its vector and the position's cannot be separated.
    if side == "target" and not formula_of(positions):
        moved = np.concatenate([positions[:1] + scale * first, positions[1:]])
        if formula_of(moved):
            positions, zero_start = moved, True
    return SideEmbedding(
        tokens, scale, _positions(graph, positions, start, event), norm, leaf, event, start,
        zero_start, int(ids_here[0]),
    )  # fmt: skip


def _table_of(graph: Graph, start: int, side: str) -> tuple[int, int, Table] | None:
    """The look-up of a side's tokens that event ``start`` is computed from: event, table, rows."""
    waiting, seen = [start], set()
    while waiting:
        number = waiting.pop()
        if number in seen or number == 0:
            continue
        seen.add(number)
        event = graph.events[number]
        if event.op in ("embedding", "index", "index_select") and event.reads:
            labels = graph.labels(number).reshape(-1)
            own = labels[0] != UNKNOWN and (labels[0] >= TARGET) == (side == "target")
            rows = table(graph, number) if own else None
            leaves = graph.leaves(graph.recording.codes(event.reads[0]))
            if rows is not None and len(leaves) == 1:
                return number, leaves[0], rows
            continue
        if graph.is_linear(event) or graph.is_product(event):
            continue
        waiting += [e for read in event.reads for e in graph.events_of(read)]
    return None


def _all_tokens(graph: Graph, event: int, width: int) -> Array:
    read = graph.events[event].reads[0]
    values = graph.recording.at(graph.recording.codes(read))
    return values.reshape(-1, width) if values.ndim != 2 else values


def _positions(graph: Graph, added: Array, start: int, embedding: int) -> Positions:
    """The positions and their origin: a table that has them as rows, or any other."""
    for event in graph.events[start:0:-1]:
        for read in event.reads:
            for leaf in _constant_leaves(graph, read, event):
                rows = _rows_of(graph, leaf, added)
                if rows is not None:
                    kept = _is_parameter(graph, leaf)
                    return Positions(added, event.number, leaf, rows, kept)
        if event.number < embedding - 64:
            break
    return Positions(added, start)


def _constant_leaves(graph: Graph, read: Read, event: Event) -> list[int]:
    if event.op in ("embedding", "index", "add", "add_", "index_select", "mul"):
        codes = graph.recording.codes(read)
        if not graph.sides(read):
            return graph.leaves(codes)
    return []


def _is_parameter(graph: Graph, leaf: int) -> bool:
    return graph.events[leaf].name.startswith("parameter:")


def _rows_of(graph: Graph, leaf: int, added: Array) -> int | None:
    """The row of a leaf at which the added vectors begin, if they are rows of it."""
    width = added.shape[1]
    event = graph.events[leaf]
    if not graph.recording.has_value(leaf) or event.numel % width:
        return None
    if np.abs(added).max() < 1e-9 and not _is_parameter(graph, leaf):
        return None
    rows = graph.recording.value(leaf).reshape(-1, width)
    near = np.flatnonzero(np.abs(rows - added[0]).max(axis=1) < 1e-9)
    for row in near.tolist():
        part = rows[row : row + len(added)]
        if part.shape == added.shape and np.abs(part - added).max() < 1e-9:
            return int(row)
    return None


def _split(values: Array, vectors: Array, place: Array) -> tuple[float, Array, bool]:
    """Solve values = scale * vectors + positions[place]: scale, positions, and whether it fits."""
    left, right = values.copy(), vectors.copy()
    for one in np.unique(place):
        chosen = place == one
        left[chosen] -= left[chosen].mean(0)
        right[chosen] -= right[chosen].mean(0)
    norm = (right**2).sum()
    scale = float((left * right).sum() / norm) if norm else 0.0
    rest = values - scale * vectors
    positions = np.stack([rest[place == one].mean(0) for one in np.unique(place)])
    error = np.abs(rest - positions[np.searchsorted(np.unique(place), place)]).max()
    return scale, positions, bool(error < 1e-9 * (1 + np.abs(values).max()))

"""Finds attentions in a recording: pairs of matrix products of data with data.

The first product gives the scores, the second mixes the values. Any operations may lie between.
"""

from dataclasses import dataclass, field

import numpy as np

from transformer.doctor.graph import SCALING, TARGET, UNKNOWN, Affine, Graph
from transformer.doctor.recording import INDEX, SHIFT, Array, Event

MOST_PRODUCTS = 500
"""A recording in which a number depends on more unpaired products than this has no attention."""
SOFTMAXES = ("_softmax", "_safe_softmax", "softmax")


@dataclass
class ProductPair:
    """One product of queries and keys, and the product of its weights with values.

    queries: codes [unit, query, d_k]; keys: [unit, key, d_k]; values: [unit, key, d_v]. In a
        correct model a unit is one head of one sentence. scale: factor of the scores.
    """

    scores: Event
    mixed: Event
    softmax: Event | None
    scale: float
    queries: Array
    keys: Array
    values: Array


@dataclass
class Attention:
    """A multi-head attention.

    query, key, value: each as a linear map of the vector it is computed from, rows in the order
        of the heads; None if it is not a linear map of one vector of one position.
    output: W^O [d_model, heads * d_v] and its bias; None if there is no W^O.
    end: the last event of the sub-layer. side: "source" or "target", of the queries.
    heads_as_in_paper: which of "queries", "keys", "values" (split) and "merge" follow the paper;
        it contains "batch" if sentences attend to one another.
    """

    product_pairs: list[ProductPair]
    heads: int
    d_k: int
    side: str
    query: Affine | None = None
    key: Affine | None = None
    value: Affine | None = None
    output: tuple[Array, Array] | None = None
    output_event: int = 0
    output_parameters: tuple[int, ...] = ()
    end: int = 0
    heads_as_in_paper: set[str] = field(default_factory=set)

    @property
    def first(self) -> int:
        return self.product_pairs[0].scores.number

    @property
    def linear(self) -> set[int]:
        """The events of its linear maps."""
        found = {self.output_event}
        for part in (self.query, self.key, self.value):
            found |= set(part.events if part is not None else ())
        return found


def find_attentions(graph: Graph) -> list[Attention]:
    """All attentions, in the order in which they were computed."""
    pairs = _product_pairs(graph)
    outputs = _outputs(graph, pairs)
    groups: list[tuple[int, list[ProductPair]]] = []
    for pair in pairs:
        output = outputs.get(pair.mixed.number, 0)
        if output and groups and groups[-1][0] == output:
            groups[-1][1].append(pair)
        else:
            groups.append((output, [pair]))
    return [_attention(graph, output, members) for output, members in groups]


def _product_pairs(graph: Graph) -> list[ProductPair]:
    origin: dict[int, set[int]] = {}
    found: list[ProductPair] = []
    taken: set[int] = set()
    for event in graph.events:
        if not event.sides or event.op == "leaf" or graph.is_linear(event):
            continue
        behind = [
            {p for e in graph.events_of(read) for p in origin.get(e, ())} for read in event.reads
        ]
        if not graph.is_product(event):
            origin[event.number] = set().union(*behind)
            if len(origin[event.number]) > MOST_PRODUCTS:
                return []  # too many to be attention
            continue
        made = None
        for place in (-2, -1):
            before = {p for p in behind[place] if p not in taken}
            if before and made is None:
                made = _product_pair(graph, graph.events[max(before)], event, place)
        if made is not None:
            found.append(made)
            taken.add(made.scores.number)
            origin[event.number] = set()
        else:
            origin[event.number] = {event.number}
    return found


def _product_pair(graph: Graph, scores: Event, mixed: Event, place: int) -> ProductPair | None:
    """The attention with these two products, or None; ``mixed.reads[place]`` are the weights."""
    weights, values = mixed.reads[place], mixed.reads[-3 - place]
    codes = graph.recording.codes(weights)
    v = graph.recording.codes(values)
    if place == -1:  # (weights @ values) transposed: the values are the left operand
        codes, v = np.swapaxes(codes, -2, -1), np.swapaxes(v, -2, -1)
    if codes.ndim == 2:
        codes, v = codes[None], v[None]
    traced = _traced(graph, codes.reshape(-1), scores.number)
    if traced is None:
        return None
    places, softmax, scale = traced
    index = [part.reshape(codes.shape) for part in np.unravel_index(places, scores.shape)]
    left, right = (graph.recording.codes(read) for read in scores.reads[-2:])
    if left.ndim == 2:
        left, right = left[None], right[None]
    if len(index) == 2:
        index.insert(0, np.zeros_like(index[0]))
    n, m, p = index
    # The operand whose row stays the same while the key changes holds the queries.
    if codes.shape[2] > 1 and (m == m[:, :, :1]).all():
        queries = left[n[:, :, 0], m[:, :, 0]]
        keys = right[n[:, 0, :], :, p[:, 0, :]]
    else:
        queries = right[n[:, :, 0], :, p[:, :, 0]]
        keys = left[n[:, 0, :], m[:, 0, :]]
    if scores.op == "baddbmm":
        scale *= float(scores.kwargs.get("alpha", 1) or 1)
    return ProductPair(scores, mixed, softmax, scale, queries, keys, v)


def _traced(graph: Graph, codes: Array, stop: int) -> tuple[Array, Event | None, float] | None:
    """From attention weights back to the scores (event ``stop``).

    Returns:
        the indices of the scores, the softmax between and the scale; None if there is no way back.
    """
    softmax, scale = None, 1.0
    for _ in range(40):
        number = int(codes[0]) >> SHIFT
        if ((codes >> SHIFT) != number).any():
            return None
        if number == stop:
            return codes & INDEX, softmax, scale
        event = graph.events[number]
        main = graph.main_operand(event)
        if main is None:
            return None
        if event.op in SOFTMAXES:
            softmax = event
        elif event.op == "div" and len(graph.data(event)) == 2 and softmax is None:
            softmax = event  # exp(x) / sum(exp(x))
        elif event.op in SCALING and softmax is not None:
            step = graph.step(codes[:1])
            if step is not None:
                scale *= float(step[1][0])
        codes = graph.operand(event, main, codes & INDEX)
    return None


def _outputs(graph: Graph, pairs: list[ProductPair]) -> dict[int, int]:
    """The last event of each pair -> the linear map that reads its result."""
    mixed = {pair.mixed.number for pair in pairs}
    found: dict[int, int] = {}
    for event in graph.events:
        if event.sides and graph.is_linear(event):
            for read in graph.data(event):
                for number in graph.events_of(read):
                    if number in mixed:
                        found.setdefault(number, event.number)
    return found


def _attention(graph: Graph, output: int, pairs: list[ProductPair]) -> Attention:
    queries, keys, values = (
        np.concatenate([getattr(pair, name) for pair in pairs])
        for name in ("queries", "keys", "values")
    )
    labels = graph.labels_of(queries)
    known = labels[labels != UNKNOWN]
    side = "target" if known.size and known.min() >= TARGET else "source"
    found = Attention(pairs, 0, queries.shape[-1], side)
    for name, codes in (("query", queries), ("key", keys), ("value", values)):
        setattr(found, name, _projected(graph, codes))
        kind = {"query": "queries", "key": "keys", "value": "values"}[name]
        order = _order(graph, codes)
        if order:
            found.heads_as_in_paper.add(kind if order == "positions" else order)
    if found.query is not None:
        found.heads = len(found.query.weight) // found.d_k
    found.end = pairs[-1].mixed.number
    _read_output(graph, output, pairs, found)
    found.end = tail(graph, found.end)[0]
    return found


def _projected(graph: Graph, codes: Array) -> Affine | None:
    """Queries, keys or values of one position, all heads together, as a linear map."""
    labels = graph.labels_of(codes).reshape(-1)
    known = labels[labels != UNKNOWN]
    if not known.size:
        return None
    # One position is enough: all others have the same map.
    one = codes.reshape(-1)[labels == known.min()]
    return graph.affine(one)


def _order(graph: Graph, codes: Array) -> str:
    """What the rows of each head stand for: "positions" (the positions of a sentence, in order),
    "batch" (the same position of all sentences), or "" (anything else)."""
    labels = graph.labels_of(codes)
    if (labels != labels[..., :1]).any() or (labels == UNKNOWN).any():
        return ""
    main = graph.recording.probes["main"]
    place = labels[..., 0] % TARGET
    length = (main.target if (labels >= TARGET).all() else main.source).shape[1]
    sentence, position = place // length, place % length
    if (sentence == sentence[:, :1]).all() and (position == position[:1]).all():
        return "positions"
    across = len(main.source) > 1 and (position == position[:, :1]).all()
    return "batch" if across and (sentence == sentence[:1]).all() else ""


def _read_output(graph: Graph, output: int, pairs: list[ProductPair], found: Attention) -> None:
    if not output:
        return
    event = graph.events[output]
    if event.op == "convolution":
        places = np.arange(event.shape[1]) * event.shape[2]
    else:
        places = np.arange(event.shape[-1])
    rows = graph.rows(event, places)
    codes = rows.data[0]
    numbers = [pair.mixed.number for pair in pairs]
    if (rows.data != codes).any() or not np.isin(codes >> SHIFT, numbers).all():
        return
    weight = graph.recording.at(rows.weights)
    labels = graph.labels_of(codes)
    end, scale, bias = tail(graph, output)
    total = (rows.bias + bias / scale) if bias.size in (1, len(weight)) else rows.bias
    if labels[0] != UNKNOWN and (labels == labels[0]).all():
        weight = weight[:, np.argsort(codes)]
        found.heads_as_in_paper.add("merge")
    found.output = scale * weight, scale * total
    found.output_event, found.end = output, end
    found.output_parameters = tuple(graph.leaves(rows.weights))


def tail(graph: Graph, number: int) -> tuple[int, float, Array]:
    """Follow a result through scalings and added biases: the last event, total factor, addend."""
    scale, bias = 1.0, np.zeros(1)
    for _ in range(6):
        event = graph.events[number]
        onward = None
        for user in graph.consumers.get(number, ()):
            step = graph.events[user]
            main = graph.main_operand(step)
            if main is not None and step.numel == event.numel and step.numel:
                if graph.events_of(main) != [number]:
                    continue
                width = step.shape[-1]
                # The bias of one position: the result's first row.
                found = graph.step((user << SHIFT) + np.arange(width))
                if found is not None and np.ptp(found[1]) == 0 and _same_rows(graph, step):
                    onward = (user, float(found[1][0]), found[2])
                    break
        if onward is None or not onward[1]:
            break
        number = onward[0]
        scale, bias = scale * onward[1], bias * onward[1] + onward[2]
    return number, scale, bias


def _same_rows(graph: Graph, event: Event) -> bool:
    """Whether what is added or multiplied is the same at every position."""
    for read in event.reads:
        if not graph.sides(read) and read.shape and np.prod(read.shape) not in (1, read.shape[-1]):
            return False
    return True

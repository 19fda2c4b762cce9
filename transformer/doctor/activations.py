"""Activations in a recording, PyTorch's own and formulas written by hand: known by their values."""

import numpy as np
import torch
from torch.nn import functional as F

from transformer.doctor.graph import Affine, Graph
from transformer.doctor.recording import SHIFT, Array


def activated(
    graph: Graph, codes: Array, hidden: Array, affine: Affine
) -> tuple[str | None, Array, Affine]:
    """The activation that makes ``codes``, and the linear map's result that it is applied to.

    A formula may begin with a scaling of its own, as in ``0.5 * x * (1 + tanh(...))``: that one
    belongs to the activation, and not to the map before it.

    Args:
        hidden: what the search back from ``codes`` met first that is an affine function, and
        affine: that function.

    Returns:
        the name, None if none that is known here; the result; and its affine function.
    """
    after, inside = _whole(graph, codes), hidden
    while True:
        found = _activation(_whole(graph, inside), after)
        if found is not None:
            return found, inside, graph.affine(inside) or affine
        event = graph.events[int(inside[0]) >> SHIFT]
        step = None if graph.is_linear(event) else graph.step(inside)
        if step is None:
            return None, hidden, affine
        inside = step[0]


def _whole(graph: Graph, codes: Array) -> Array:
    """All numbers of an event that one position's numbers are of: more to compare with."""
    return graph.recording.value(int(codes[0]) >> SHIFT).reshape(-1)


def _activation(before: Array, after: Array) -> str | None:
    """Which activation makes one of the other; None if none that is known here."""
    if before.shape != after.shape:
        return None
    x = torch.from_numpy(before)
    known = {
        "relu": torch.relu(x),
        "gelu": F.gelu(x),
        "swish": F.silu(x),
        "gelu_tanh": F.gelu(x, approximate="tanh"),
        "none": x,
    }
    for name, made in known.items():
        if np.abs(made.numpy() - after).max() < 1e-9 * (1 + np.abs(after).max()):
            return name
    return None

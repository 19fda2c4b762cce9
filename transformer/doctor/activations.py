"""Recognises activations in a recording by their values, built into PyTorch or written by hand."""

import numpy as np
import torch
from torch.nn import functional as F

from transformer.doctor.graph import Affine, Graph
from transformer.doctor.recording import SHIFT, Array


def activated(
    graph: Graph, codes: Array, hidden: Array, affine: Affine
) -> tuple[str | None, Array, Affine]:
    """The activation that computes ``codes``, and the result of a linear map that it is applied to.

    A formula may start by scaling its input, as in ``0.5 * x * (1 + tanh(...))``: this scaling
    belongs to the activation, not to the linear map before it.

    Args:
        hidden: codes of the first affine result met when going back from ``codes``.
        affine: ``hidden`` as an affine function.

    Returns:
        the name (None if it is not known here), the codes of its input, and that input as an
        affine function.
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
    """All numbers of the event that ``codes`` belong to: more to compare than one position's."""
    return graph.recording.value(int(codes[0]) >> SHIFT).reshape(-1)


def _activation(before: Array, after: Array) -> str | None:
    """The name of the activation that maps ``before`` to ``after``; None if it is unknown."""
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

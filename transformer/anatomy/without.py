"""What the model would write with one box removed: for one input, without retraining."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transformer.analysis.first_error import first_mismatch
from transformer.analysis.heads import Head
from transformer.anatomy.boxes import Box
from transformer.decoding.strategies import Greedy, decode
from transformer.faults import FAULTS, plant
from transformer.hooks import ablate, own_modules
from transformer.model import Embedding, Transformer

Taken = Callable[[Transformer, Box], AbstractContextManager[None]]


@dataclass(frozen=True)
class DecodedWithout:
    """A model's output without one of its boxes.

    tokens: ids, with <eos> if the output ended.
    changed: the first position that differs from the original output; None if they are the same.
    fault: name of the fault planted to remove the box; empty if there is none.
    """

    tokens: tuple[int, ...]
    changed: int | None
    fault: str


def can_be_left_out(model: Transformer, box: Box) -> bool:
    """Whether this box can be removed from this model."""
    fault = box.about.fault
    if fault:
        return FAULTS[fault].applies(model.config)
    return box.part != "logits"


def decode_without(
    model: Transformer, source: Tensor, box: Box, written: Sequence[int], step: int
) -> DecodedWithout:
    """Remove a box from a copy of the model, and decode.

    Args:
        source: ids, [1, source].
        written: ids of the model's output with the box.
        step: the current position, from 0; only the box "next" uses it.

    Raises:
        ConfigError: the box cannot be removed from this model; see :func:`can_be_left_out`.
    """
    copy = own_modules(model)
    fault = box.about.fault
    limit = min(2 * len(written) + 10, model.config.max_length)
    with ExitStack() as stack:
        prefix: tuple[int, ...] = ()
        if fault:
            plant(copy, fault)
        elif box.part == "next":
            prefix = (*written[:step], _second(model, source, written[:step]))
        else:
            stack.enter_context(_TAKEN[box.part](copy, box))
        # Without the cache: a hook or a fault may change earlier positions too.
        found = decode(copy, source, Greedy(prefix=prefix, max_length=limit, cached=False))[0]
    return DecodedWithout(found.tokens, first_mismatch(written, found.tokens), fault)


@torch.inference_mode()
def _second(model: Transformer, source: Tensor, written: Sequence[int]) -> int:
    """The second most probable token after ``written``."""
    read = torch.tensor([[model.config.decoder_start_id, *written]])
    return int(model(source, read)[0, -1].topk(2).indices[1])


def _point(box: Box, name: str) -> str:
    return Head(box.kind, box.layer or 0, 0).point(name)


@contextmanager
def _replaced_output(module: nn.Module, value: Callable[[Tensor], Tensor]) -> Iterator[None]:
    handle = module.register_forward_hook(lambda module, given, output: value(output))
    try:
        yield
    finally:
        handle.remove()


def _positions_alone(model: Transformer, box: Box) -> AbstractContextManager[None]:
    embedding = model.get_submodule(f"{box.stack}_embedding")
    assert isinstance(embedding, Embedding)

    def positions(vectors: Tensor) -> Tensor:
        return embedding.positional_encoding(0, vectors.size(1)).expand_as(vectors)

    return _replaced_output(embedding, positions)


def _zero(name: str) -> Taken:
    return lambda model, box: ablate(model, _point(box, name))


@contextmanager
def _scores_as_weights(model: Transformer, box: Box) -> Iterator[None]:
    """Use the scores as weights, except where the mask made the weight 0."""
    seen: list[Tensor] = []

    def keep(scores: Tensor) -> Tensor:
        seen[:] = [scores.clone()]
        return scores

    def use(weights: Tensor) -> Tensor:
        return torch.where(weights == 0, weights, seen[0])

    with (
        ablate(model, _point(box, "scores"), replacement=keep),
        ablate(model, _point(box, "weights"), replacement=use),
    ):
        yield


def _largest_alone(model: Transformer, box: Box) -> AbstractContextManager[None]:
    def one_hot(weights: Tensor) -> Tensor:
        largest = weights.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(weights).scatter(-1, largest, 1.0)

    return ablate(model, _point(box, "weights"), replacement=one_hot)


def _silent(part: str) -> Taken:
    def taken(model: Transformer, box: Box) -> AbstractContextManager[None]:
        layer = model.get_submodule(f"{box.stack}.layers.{box.layer}.feed_forward.{part}")
        return _replaced_output(layer, torch.zeros_like)

    return taken


_TAKEN: dict[str, Taken] = {
    "embedding": _positions_alone,
    "queries": _zero("queries"),
    "keys": _zero("keys"),
    "values": _zero("values"),
    "products": _zero("scores"),
    "softmax": _scores_as_weights,
    "mixing": _largest_alone,
    "inner": _silent("inner"),
    "outer": _silent("outer"),
}
"""How to remove the boxes that no fault removes; only the one box is changed."""

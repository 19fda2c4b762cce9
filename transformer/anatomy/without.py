"""What would be written if one box were not there: taken out for one input, nothing trained."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transformer.analysis.first_error import parting
from transformer.analysis.heads import Head
from transformer.anatomy.boxes import Box
from transformer.decoding.strategies import Greedy, decode
from transformer.faults import FAULTS, plant
from transformer.hooks import ablate, own_modules
from transformer.model import Embedding, Transformer

Taken = Callable[[Transformer, Box], AbstractContextManager[None]]


@dataclass(frozen=True)
class Without:
    """What a model writes without one of its boxes.

    tokens: ids, with <eos> where it ended. changed: from which position on it is another output;
    None where it is the same. fault: that was planted for it, by name; empty where none was.
    """

    tokens: tuple[int, ...]
    changed: int | None
    fault: str


def can_be_left_out(model: Transformer, box: Box) -> bool:
    """Whether there is something to be seen without this box, in a model like this."""
    fault = box.about.fault
    if fault:
        return FAULTS[fault].applies(model.config)
    return box.part != "logits"


def without(
    model: Transformer, source: Tensor, box: Box, written: Sequence[int], step: int
) -> Without:
    """Take a box out of a model's own copy, and let it write.

    Args:
        source: ids, [1, source].
        written: what the model writes with it, ids.
        step: the position that is being written, from 0, which only the box of the next token
            asks for.

    Raises:
        ConfigError: a model like this cannot do without it; see :func:`can_be_left_out`.
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
        # All positions at every step: a hook, or a fault, may reach back.
        found = decode(copy, source, Greedy(prefix=prefix, max_length=limit, cached=False))[0]
    return Without(found.tokens, parting(written, found.tokens), fault)


@torch.inference_mode()
def _second(model: Transformer, source: Tensor, written: Sequence[int]) -> int:
    """The second most probable token after what is written."""
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
    """What the mask forbids has a weight of 0 already, and keeps it."""
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
"""What no fault stands for: taken out of this one box alone."""

"""What a fault is: data, and how it is planted in a model object."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from transformer.config import TransformerConfig
from transformer.model import MultiHeadAttention, Transformer

KINDS = {
    "encoder": "encoder.layers.{}.self_attention",
    "decoder": "decoder.layers.{}.self_attention",
    "cross": "decoder.layers.{}.cross_attention",
}


def _always(config: TransformerConfig) -> bool:
    return True


Rows = tuple[list[int], list[int]]
"""What the decoder reads of one target, and what it is to write: ids."""


def _nothing(model: Transformer) -> None:
    """The model itself is right."""


def _as_they_are(read: list[int], asked: list[int], config: TransformerConfig) -> Rows:
    return read, asked


@dataclass(frozen=True)
class Practice:
    """What a training does around its model: right by default, and a fault changes one thing.

    targets: the rows that are trained on, from the right ones.
    takes_softmax: the loss gets probabilities instead of logits.
    counts_padding: <pad> is a target like any other.
    zeroes_gradients: a gradient is forgotten once it was used.
    optimizes: whether the optimizer is given the parameter of this name.
    rate_factor: what the learning rate is multiplied by.
    warms_up: the learning rate rises from 0.
    """

    targets: Callable[[list[int], list[int], TransformerConfig], Rows] = _as_they_are
    takes_softmax: bool = False
    counts_padding: bool = False
    zeroes_gradients: bool = True
    optimizes: Callable[[str], bool] = lambda name: True
    rate_factor: float = 1.0
    warms_up: bool = True


RIGHT = Practice()


@dataclass(frozen=True)
class Fault:
    """One way in which a hand-written Transformer departs from the paper.

    name: kebab-case; used in addresses, JSON and tests.
    title: what is wrong, in a few words.
    family: what it belongs to: masks, attention, heads, positions, norms, layers, ...
    section: of the paper.
    right, wrong: the lines as a person writes them; ``right`` stands in ``model.py``.
    symptoms: what people write who have it.
    why: why it does what it does.
    remedy: what to change.
    plant: makes one model object faulty; by default the fault is in the training alone.
    applies: whether a model of this configuration can have it.
    harmless: the model computes something else, and learns as well.
    place: where it is planted: "model", "batches", "loss", "optimizer" or "decoding".
    practice: what the training around the model does.
    bites: where it shows, if letters are learned all the same.
    """

    name: str
    title: str
    family: str
    section: str
    right: str
    wrong: str
    symptoms: tuple[str, ...]
    why: str
    remedy: str
    plant: Callable[[Transformer], None] = _nothing
    applies: Callable[[TransformerConfig], bool] = _always
    harmless: bool = False
    place: str = "model"
    practice: Practice = RIGHT
    bites: str = ""


def turn(module: nn.Module, fault: type[nn.Module]) -> None:
    """Let one module object compute what ``fault`` says, on top of what it is now.

    Its class is replaced, not its methods: copies and views of the model keep the fault.
    """
    if not isinstance(module, fault):
        module.__class__ = type(fault.__name__, (fault, type(module)), {})


def attentions(model: Transformer, *kinds: str) -> Iterator[MultiHeadAttention]:
    """The attention modules of these kinds ("encoder", "decoder", "cross"); of all, without."""
    for kind in kinds or KINDS:
        layers = model.encoder.layers if kind == "encoder" else model.decoder.layers
        for layer in range(len(layers)):
            found = model.get_submodule(KINDS[kind].format(layer))
            assert isinstance(found, MultiHeadAttention)
            yield found


def in_attention(fault: type[nn.Module], *kinds: str) -> Callable[[Transformer], None]:
    """Plants a class in the attention modules of these kinds."""

    def plant(model: Transformer) -> None:
        for attention in attentions(model, *kinds):
            turn(attention, fault)

    return plant


def in_all(part: type[nn.Module], fault: type[nn.Module]) -> Callable[[Transformer], None]:
    """Plants a class in all modules of a kind."""

    def plant(model: Transformer) -> None:
        for module in [found for found in model.modules() if isinstance(found, part)]:
            turn(module, fault)

    return plant

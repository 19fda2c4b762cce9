"""A fault as data, and the helpers that plant it in a model object."""

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
"""Ids of one target sentence: those that the decoder reads, and those that it must predict."""


def _nothing(model: Transformer) -> None:
    """Plant nothing: the fault is not in the model."""


def _as_they_are(read: list[int], asked: list[int], config: TransformerConfig) -> Rows:
    return read, asked


@dataclass(frozen=True)
class TrainingPractice:
    """How training uses the model: correct by default; a fault changes one field.

    targets: makes the rows to train on from the correct ones.
    takes_softmax: the loss gets probabilities instead of logits.
    counts_padding: the loss counts <pad> like any other target.
    zeroes_gradients: gradients are set to zero between updates.
    optimizes: whether the optimizer is given the parameter of this name.
    rate_factor: factor on the learning rate.
    warms_up: the learning rate rises from 0 during the warm-up.
    """

    targets: Callable[[list[int], list[int], TransformerConfig], Rows] = _as_they_are
    takes_softmax: bool = False
    counts_padding: bool = False
    zeroes_gradients: bool = True
    optimizes: Callable[[str], bool] = lambda name: True
    rate_factor: float = 1.0
    warms_up: bool = True


CORRECT = TrainingPractice()


@dataclass(frozen=True)
class Fault:
    """One way in which a hand-written Transformer departs from the paper.

    name: kebab-case; used in URLs, JSON and tests.
    title: what is wrong, in a few words.
    family: the group it belongs to: masks, attention, heads, positions, norms, layers, ...
    section: of the paper.
    right, wrong: the correct line of our code, and the faulty line as people write it.
    symptoms: sentences in which people describe it.
    why: how the fault causes its symptoms.
    remedy: what to change.
    plant: makes one model object faulty; by default does nothing (a fault of training alone).
    applies: whether a model of this configuration can have it.
    harmless: the model computes something else, but learns equally well.
    place: where it is planted: "model", "batches", "loss", "optimizer" or "decoding".
    practice: how training with this fault uses the model.
    where_it_shows: where the fault shows, if a model learns the letters task in spite of it.
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
    practice: TrainingPractice = CORRECT
    where_it_shows: str = ""


def change_class(module: nn.Module, fault: type[nn.Module]) -> None:
    """Make one module object a subclass of ``fault`` and of its present class.

    The class is replaced, not single methods, so that copies and views of the model keep the fault.
    """
    if not isinstance(module, fault):
        module.__class__ = type(fault.__name__, (fault, type(module)), {})


def attentions(model: Transformer, *kinds: str) -> Iterator[MultiHeadAttention]:
    """The attention modules of these kinds ("encoder", "decoder", "cross"); by default of all."""
    for kind in kinds or KINDS:
        layers = model.encoder.layers if kind == "encoder" else model.decoder.layers
        for layer in range(len(layers)):
            found = model.get_submodule(KINDS[kind].format(layer))
            assert isinstance(found, MultiHeadAttention)
            yield found


def in_attention(fault: type[nn.Module], *kinds: str) -> Callable[[Transformer], None]:
    """A function that plants a class in the attention modules of these kinds."""

    def plant(model: Transformer) -> None:
        for attention in attentions(model, *kinds):
            change_class(attention, fault)

    return plant


def in_all(part: type[nn.Module], fault: type[nn.Module]) -> Callable[[Transformer], None]:
    """A function that plants the class ``fault`` in all modules of class ``part``."""

    def plant(model: Transformer) -> None:
        for module in [found for found in model.modules() if isinstance(found, part)]:
            change_class(module, fault)

    return plant

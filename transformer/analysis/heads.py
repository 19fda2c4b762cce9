"""The name of a head, which studies, figures and addresses share."""

from typing import NamedTuple, Self

from transformer.config import TransformerConfig

KINDS = {
    "encoder": ("Encoder self-attention", "encoder.layers.{}.self_attention"),
    "decoder": ("Decoder self-attention", "decoder.layers.{}.self_attention"),
    "cross": ("Cross-attention", "decoder.layers.{}.cross_attention"),
}
"""The three attentions: id -> title, and where a layer's hook points are."""


class Head(NamedTuple):
    """One head of one attention; layer and head count from 0."""

    kind: str
    layer: int
    head: int

    def __str__(self) -> str:
        """As in addresses: ``cross.0.1``."""
        return f"{self.kind}.{self.layer}.{self.head}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read what ``str`` wrote.

        Raises:
            ValueError: it names no head.
        """
        kind, _, place = name.partition(".")
        layer, _, head = place.partition(".")
        if kind not in KINDS or not (layer.isdecimal() and head.isdecimal() and len(place) < 12):
            raise ValueError(f"{name!r} names no head; cross.0.1 does")
        return cls(kind, int(layer), int(head))

    @property
    def title(self) -> str:
        """As people read it, counted from 1."""
        return f"{KINDS[self.kind][0]}, layer {self.layer + 1}, head {self.head + 1}"

    @property
    def short(self) -> str:
        """For axes: ``cross 1.2``, counted from 1."""
        return f"{self.kind} {self.layer + 1}.{self.head + 1}"

    def point(self, name: str) -> str:
        """The hook point of that name in this head's attention."""
        return f"{KINDS[self.kind][1].format(self.layer)}.{name}"


def shown_first(config: TransformerConfig) -> Head:
    """What every page opens on: of the cross-attention, which links what is written to what is
    read, the last layer, which is nearest to the answer. Scripts of widgets do the same.
    """
    return Head("cross", config.num_decoder_layers - 1, 0)


def all_heads(config: TransformerConfig) -> list[Head]:
    """Every head of a model: encoder, decoder, cross, each from the first layer up."""
    layers = {
        "encoder": config.num_encoder_layers,
        "decoder": config.num_decoder_layers,
        "cross": config.num_decoder_layers,
    }
    return [
        Head(kind, layer, head)
        for kind, count in layers.items()
        for layer in range(count)
        for head in range(config.num_heads)
    ]

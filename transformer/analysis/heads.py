"""How a head is named, in analyses, figures and addresses."""

from typing import NamedTuple, Self

from transformer.config import TransformerConfig

KINDS = {
    "encoder": ("Encoder self-attention", "encoder.layers.{}.self_attention"),
    "decoder": ("Decoder self-attention", "decoder.layers.{}.self_attention"),
    "cross": ("Cross-attention", "decoder.layers.{}.cross_attention"),
}
"""The three kinds of attention: id -> title, and the module path of a layer's attention."""


class Head(NamedTuple):
    """One head of one kind of attention; layer and head count from 0."""

    kind: str
    layer: int
    head: int

    def __str__(self) -> str:
        """The form used in addresses: ``cross.0.1``, counted from 0."""
        return f"{self.kind}.{self.layer}.{self.head}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """The head that ``str`` wrote as ``name``.

        Raises:
            ValueError: ``name`` is not a head's name.
        """
        kind, _, place = name.partition(".")
        layer, _, head = place.partition(".")
        if kind not in KINDS or not (layer.isdecimal() and head.isdecimal() and len(place) < 12):
            raise ValueError(f"{name!r} names no head; cross.0.1 does")
        return cls(kind, int(layer), int(head))

    @property
    def title(self) -> str:
        """The name in words, counted from 1."""
        return f"{KINDS[self.kind][0]}, layer {self.layer + 1}, head {self.head + 1}"

    @property
    def short(self) -> str:
        """The label on axes: ``cross 1.2``, counted from 1."""
        return f"{self.kind} {self.layer + 1}.{self.head + 1}"

    def point(self, name: str) -> str:
        """The full name of a hook point in this head's attention."""
        return f"{KINDS[self.kind][1].format(self.layer)}.{name}"


def shown_first(config: TransformerConfig) -> Head:
    """The head that every page shows first: head 1 of the last layer's cross-attention.

    Cross-attention links the output to the input, and the last layer is nearest to the output.
    The widgets' scripts choose the same head.
    """
    return Head("cross", config.num_decoder_layers - 1, 0)


def all_heads(config: TransformerConfig) -> list[Head]:
    """Every head of a model: encoder, decoder, then cross-attention, each from the first layer."""
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

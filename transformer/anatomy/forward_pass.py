"""The values of every box in one forward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transformer.analysis.heads import Head
from transformer.anatomy.boxes import Box
from transformer.checkpoint import Checkpoint
from transformer.decoding.steps import normalised
from transformer.hooks import Trace, record
from transformer.model import Embedding, Transformer
from transformer.vocabulary.vocabulary import printable

Floats = NDArray[np.float32]
LIKELIEST = 12
"""Number of tokens, the most probable ones, in a picture of logits or probabilities."""


@dataclass(frozen=True)
class Picture:
    """Numbers to draw: one row per position, or a single row of bars.

    title: such as a head's name; empty if the box has only one picture.
    numbers: [row, column]; NaN where a mask hides the key.
    rows: the token of each row. columns: the token of each column; empty if columns are features.
    unit: "signed" (0 in the middle), "share" (0 to 1) or "bars".
    """

    title: str
    numbers: Floats
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    unit: str


@dataclass(frozen=True)
class ForwardPass:
    """The recorded values of one forward pass over a source and the tokens written so far.

    source, read: ids read by the encoder and by the decoder, the latter with its start token.
    step: index of the position that is being written, from 0: the last of ``read``.
    trace: values at the hook points.
    inputs, outputs: of modules, by name, for values without a hook point.
    masks: of each attention, by module name; True where it may look.
    """

    checkpoint: Checkpoint
    source: tuple[int, ...]
    read: tuple[int, ...]
    trace: Trace
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    masks: dict[str, Tensor]

    @property
    def step(self) -> int:
        return len(self.read) - 1

    def value(self, box: Box) -> Tensor:
        """The output of a box, without the batch dimension: [position, feature],
        [head, position, d_k], [head, query, key] (NaN where masked), or [vocabulary]."""
        return _VALUES[box.part](self, box)[0]

    def pictures(self, box: Box) -> list[Picture]:
        """A box's value as pictures: one per head, or a single one if it has no head dimension."""
        value, tokens = self.value(box).float().numpy(), self._tokens(box)
        if box.stack == "output":
            order = np.argsort(-value, kind="stable")[:LIKELIEST]
            names = _shown(self.checkpoint.target_vocabulary.tokens, order.tolist())
            return [Picture("", value[None, order], (), names, "bars")]
        if value.ndim == 2:
            return [Picture("", value, tokens, (), "signed")]
        keys: tuple[str, ...] = ()
        if box.part in ("products", "scores", "mask", "softmax"):
            keys = self._shown("source" if box.kind == "cross" else box.stack)
        elif box.part in ("keys", "values") and box.kind == "cross":
            tokens = self._shown("source")
        unit = "share" if box.part == "softmax" else "signed"
        return [
            Picture(f"head {head + 1}", numbers, tokens, keys, unit)
            for head, numbers in enumerate(value)
        ]

    def shapes(self, box: Box) -> tuple[str, str]:
        """The shapes of a box's input and output, in words."""
        config = self.checkpoint.config
        here = len(self.read) if not box.encodes else len(self.source)
        keys = len(self.source) if box.kind == "cross" else here
        heads, d_k = _many(config.num_heads, "head"), f"{config.d_k} numbers"
        vectors = f"{_many(here, 'position')} × {config.d_model} numbers"
        looks = f"{heads} × {_many(here, 'query', 'queries')} × {_many(keys, 'key')}"
        mine = f"{heads} × {_many(here, 'position')} × {d_k}"
        theirs = f"{heads} × {_many(keys, 'position')} × {d_k}"
        memory = f"{_many(keys, 'source position')} × {config.d_model} numbers"
        inner = f"{_many(here, 'position')} × {config.feed_forward_width(box.stack)} numbers"
        words = f"{config.target_vocab_size:,} numbers, one a token of the vocabulary"
        return {
            "embedding": (f"{_many(here, 'token')}, each a number of the vocabulary", vectors),
            "queries": (vectors, mine),
            "keys": (memory if box.kind == "cross" else vectors, theirs),
            "values": (memory if box.kind == "cross" else vectors, theirs),
            "products": (f"queries, {mine}; keys, {theirs}", looks),
            "scores": (looks, looks),
            "mask": (looks, f"{looks}, those hidden left out"),
            "softmax": (looks, f"{looks}; each row sums to 1"),
            "mixing": (f"weights, {looks}; values, {theirs}", mine),
            "projection": (mine, vectors),
            "inner": (vectors, inner),
            "activation": (inner, inner),
            "outer": (inner, vectors),
            "logits": (f"{config.d_model} numbers: the vector of the last position", words),
            "probabilities": (words, f"{words}; they sum to 1"),
            "next": (words, "1 token"),
        }.get(box.part, (vectors, vectors))

    def _tokens(self, box: Box) -> tuple[str, ...]:
        return self._shown("source" if box.encodes else "target")

    def _shown(self, side: str) -> tuple[str, ...]:
        if side in ("source", "encoder"):
            return _shown(self.checkpoint.source_vocabulary.tokens, self.source)
        return _shown(self.checkpoint.target_vocabulary.tokens, self.read)


def _shown(tokens: Sequence[str], ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(printable(tokens[number]) for number in ids)


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


@torch.inference_mode()
def forward_pass(checkpoint: Checkpoint, source: Tensor, written: Sequence[int]) -> ForwardPass:
    """Run the model once over a source and the tokens written so far, and record all values.

    Args:
        source: ids, [1, source].
        written: ids of the tokens so far, without the start token.
    """
    model = checkpoint.model
    read = [checkpoint.config.decoder_start_id, *written]
    with record(model) as trace, _watched(model) as (inputs, outputs, masks):
        model(source, torch.tensor([read]))
    return ForwardPass(
        checkpoint, tuple(source[0].tolist()), tuple(read), trace, inputs, outputs, masks
    )


@contextmanager
def _watched(model: Transformer) -> Iterator[tuple[dict[str, Tensor], ...]]:
    """Record the inputs and outputs of modules and the masks of attentions."""
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            if given and isinstance(given[0], Tensor) and isinstance(output, Tensor):
                inputs[name], outputs[name] = given[0], output
            if name.endswith("_attention"):
                masks[name] = given[3]

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            handle = module.register_forward_hook(keep(name))
            stack.callback(handle.remove)
        yield inputs, outputs, masks


# --- The value of each part -----------------------------------------------------------------


def _module(box: Box) -> str:
    """The module name of the sub-layer that a box belongs to."""
    name = {"self": "self_attention", "cross": "cross_attention", "feed-forward": "feed_forward"}
    return f"{box.stack}.layers.{box.layer}.{name[box.sublayer]}"


def _at(name: str) -> Callable[[ForwardPass, Box], Tensor]:
    """A function that returns the value recorded at a hook point of the box's attention."""

    def value(run: ForwardPass, box: Box) -> Tensor:
        return run.trace[Head(box.kind, box.layer or 0, 0).point(name)]

    return value


def _out_of(name: str) -> Callable[[ForwardPass, Box], Tensor]:
    return lambda run, box: run.outputs[f"{_module(box)}{name}"]


def _embedding(run: ForwardPass, box: Box) -> tuple[Embedding, Tensor]:
    source = box.stack == "source"
    found = run.checkpoint.model.get_submodule(f"{box.stack}_embedding")
    assert isinstance(found, Embedding)
    return found, torch.tensor([run.source if source else run.read])


def _tokens(run: ForwardPass, box: Box) -> Tensor:
    embedding, ids = _embedding(run, box)
    found: Tensor = embedding.tokens(ids)
    return found


def _scaled(run: ForwardPass, box: Box) -> Tensor:
    return _tokens(run, box) * _embedding(run, box)[0].scale


def _positions(run: ForwardPass, box: Box) -> Tensor:
    return run.outputs[f"{box.stack}_embedding"]


def _products(run: ForwardPass, box: Box) -> Tensor:
    return _at("queries")(run, box) @ _at("keys")(run, box).transpose(-2, -1)


def _masked(run: ForwardPass, box: Box) -> Tensor:
    return _at("scores")(run, box).masked_fill(~run.masks[_module(box)], torch.nan)


def _norm(run: ForwardPass, box: Box) -> Tensor:
    if box.stack in ("source", "target"):
        return run.outputs[f"{'encoder' if box.encodes else 'decoder'}.embedding_norm"]
    if box.layer is None:
        return run.outputs[f"{box.stack}.norm"]
    return run.outputs[f"{_module(box)}_residual.norm"]


def _residual(run: ForwardPass, box: Box) -> Tensor:
    path = f"{_module(box)}_residual"
    after = run.trace[f"{path}.after"]
    return after if run.checkpoint.config.norms_first(box.stack) else run.inputs[f"{path}.norm"]


def _activation(run: ForwardPass, box: Box) -> Tensor:
    return run.inputs[f"{_module(box)}.outer"]


def _logits(run: ForwardPass, box: Box) -> Tensor:
    return run.trace["logits"][:, -1]


def _probabilities(run: ForwardPass, box: Box) -> Tensor:
    return normalised(_logits(run, box).clone(), run.checkpoint.config).exp()


_VALUES: dict[str, Callable[[ForwardPass, Box], Tensor]] = {
    "embedding": _tokens,
    "scale": _scaled,
    "positions": _positions,
    "norm": _norm,
    "queries": _at("queries"),
    "keys": _at("keys"),
    "values": _at("values"),
    "products": _products,
    "scores": _at("scores"),
    "mask": _masked,
    "softmax": _at("weights"),
    "mixing": _at("head_outputs"),
    "projection": _out_of(".output"),
    "residual": _residual,
    "inner": _out_of(".inner"),
    "activation": _activation,
    "outer": _out_of(".outer"),
    "logits": _logits,
    "probabilities": _probabilities,
    "next": _probabilities,
}

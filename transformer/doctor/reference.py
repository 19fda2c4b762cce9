"""Builds our model with the user's weights: it computes the same if theirs follows the paper."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from transformer.config import TransformerConfig
from transformer.doctor.attentions import Attention
from transformer.doctor.input_layers import SideEmbedding, Unmapped
from transformer.doctor.norms import Norm
from transformer.doctor.positions import WRONG, formula_of, sines
from transformer.doctor.reading import Network, Reading, Sublayer
from transformer.doctor.recording import Array
from transformer.errors import ConfigError
from transformer.model import (
    Embedding,
    FeedForward,
    LayerNorm,
    MultiHeadAttention,
    ResidualConnection,
    Transformer,
)

NEAR = 1e-6


@dataclass
class Reference:
    """Our model with the user's weights.

    shown: the faults that the reading shows. choices: harmless differences taken over from theirs.
    obstacles: why a checkpoint of ours cannot hold it, if it cannot.
    positions: what is wrong with the positions, if they follow no formula of the paper.
    reused: the stacks whose layers all read the stack's input.
    scope: "encoder" or "decoder", if faults are to be planted in that stack only.
    folded: differences that weights can absorb are put into them, not shown as faults.
    """

    model: Transformer
    config: TransformerConfig
    shown: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    positions: str = ""
    reused: list[str] = field(default_factory=list)
    scope: str = ""
    folded: bool = False

    def show(self, fault: str) -> None:
        if fault not in self.shown:
            self.shown.append(fault)

    def choose(self, choice: str) -> None:
        if choice not in self.choices:
            self.choices.append(choice)


def build(reading: Reading, *, folded: bool = False) -> Reference:
    """Build our model from a reading.

    Args:
        folded: for a checkpoint of ours: another scaling, deviation or formula of positions, or a
            missing W^O, is put into the weights and not shown as a fault.

    Raises:
        Unmapped: no model of ours has such sizes or parts.
    """
    config = _config(reading, folded)
    with torch.device("meta"):
        model = Transformer(config)
    found = Reference(model, config, folded=folded)
    _embeddings(found, reading)
    for ours, theirs in (
        (model.encoder.layers, reading.encoder),
        (model.decoder.layers, reading.decoder),
    ):
        for layer, read in zip(ours, theirs, strict=True):
            for sublayer in read.sublayers:
                _sublayer(found, layer, sublayer, reading)
    _orders(found, reading)
    for stack, norm, side in (
        (model.encoder, reading.encoder_norm, "encoder"),
        (model.decoder, reading.decoder_norm, "decoder"),
    ):
        if norm is None:
            stack.norm = nn.Identity()
        else:
            assert isinstance(stack.norm, LayerNorm)
            _set_norm(found, stack.norm, norm)
            found.choose(f"a norm after the {side}'s last layer")
    affine = reading.output
    _set_linear(model.output, affine.scale * affine.weight, affine.scale * affine.bias)
    if abs(affine.scale - 1) > NEAR:
        found.choose(f"logits times {affine.scale:.4g}, here folded into the output projection")
    if reading.target.leaf in affine.parameters:
        found.choose("the output projection is the target embedding, as in the paper")
    _flow(found, reading)
    model.requires_grad_(False).eval()
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise Unmapped("Not every part of our model has a counterpart in yours.")
    return found


def _config(reading: Reading, folded: bool) -> TransformerConfig:
    attention = reading.encoder[0].sublayers[0].part
    network = reading.encoder[0].sublayers[-1].part
    assert isinstance(attention, Attention)
    assert isinstance(network, Network)
    d_model = reading.d_model
    inner = 0 if attention.value is None else len(attention.value.weight)
    inner = 0 if inner == d_model else inner
    heads = attention.heads
    heads = heads if heads and not (inner or d_model) % heads else 1
    decoder_network = reading.decoder[0].sublayers[-1].part
    assert isinstance(decoder_network, Network)
    widths = len(network.inner.weight), len(decoder_network.inner.weight)
    orders = [
        layers[0].sublayers[0].placement == "pre" for layers in (reading.encoder, reading.decoder)
    ]
    ends = [norm is not None for norm in (reading.encoder_norm, reading.decoder_norm)]
    pad = reading.recording.pad_id
    others = [i for i in range(5) if i != pad]
    source, target = len(reading.source.tokens), reading.recording.logits.shape[-1]
    learned = reading.source.positions.learned or d_model % 2 == 1
    try:
        return TransformerConfig(
            source_vocab_size=source,
            target_vocab_size=target,
            d_model=d_model,
            num_heads=heads,
            num_encoder_layers=len(reading.encoder),
            num_decoder_layers=len(reading.decoder),
            d_ff=widths[0],
            attention_width=inner,
            decoder_d_ff=widths[1] if widths[1] != widths[0] else 0,
            dropout=0.0,
            max_length=max(2, *(p.source.shape[1] for p in reading.recording.probes.values())),
            norm_first=orders[0],
            decoder_norm=(
                "as encoder" if orders[0] == orders[1] else "before" if orders[1] else "after"
            ),
            final_norm=any(ends),
            final_norm_side="both" if ends[0] == ends[1] else "encoder" if ends[0] else "decoder",
            embedding_norm=folded and None not in (reading.source.norm, reading.target.norm),
            activation=_activation_name(network),
            tie_embeddings=False,
            output_bias=True,
            position_layout="learned" if learned else "interleaved",
            layer_norm_eps=_eps(reading),
            pad_id=pad,
            bos_id=others[0],
            eos_id=others[1],
            unk_id=others[2],
            decoder_start_id=others[0],
        )
    except ConfigError as error:
        raise Unmapped(f"Our model cannot have these sizes. {error}") from None


def _activation_name(network: Network) -> str:
    known = {"gelu": "gelu", "gelu_tanh": "gelu", "swish": "swish"}
    return known.get(network.activation or "", "relu")


def _eps(reading: Reading) -> float:
    norms = [s.norm for s in reading.sublayers if s.norm is not None]
    return min(0.1, max(1e-12, _true_eps(norms[0]))) if norms else 1e-5


def _true_eps(norm: Norm) -> float:
    """The ε added to the variance; nearly zero if ε is added to the deviation instead."""
    return 1e-12 if norm.outside else norm.eps


# --- parts ----------------------------------------------------------------------------------------


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64, order="C"))


def _set_linear(linear: nn.Linear, weight: Array, bias: Array) -> None:
    linear.weight = nn.Parameter(_tensor(weight))
    bias = np.broadcast_to(bias, (len(weight),))
    linear.bias = nn.Parameter(_tensor(bias))
    linear.out_features, linear.in_features = weight.shape


def _set_norm(found: Reference, ours: LayerNorm, norm: Norm | None) -> None:
    width = found.config.d_model
    ours.gain = nn.Parameter(_tensor(np.ones(width) if norm is None else norm.gain))
    ours.bias = nn.Parameter(_tensor(np.zeros(width) if norm is None else norm.bias))
    if norm is None:
        return
    ours.eps = norm.eps
    if found.folded and not norm.over_positions:
        if norm.unbiased:
            ours.gain.data *= math.sqrt((width - 1) / width)
        ours.eps = _true_eps(norm)
        return
    kinds: set[str] = set()
    for fault, seen in (
        ("layer-norm-unbiased", norm.unbiased),
        ("layer-norm-eps-outside", norm.outside),
        ("layer-norm-over-positions", norm.over_positions),
    ):
        if seen:
            found.show(fault)
            kinds.add(fault)
    vars(ours)["kinds"] = kinds
    if norm.eps not in (0.0, 1e-5) and not norm.outside:
        found.choose(f"ε = {norm.eps:g} in the layer norms")


def _sublayer(found: Reference, layer: nn.Module, sublayer: Sublayer, reading: Reading) -> None:
    name = sublayer.kind.replace("-", "_")
    part: Any = getattr(layer, name)
    residual: ResidualConnection = getattr(layer, f"{name}_residual")
    _set_norm(found, residual.norm, sublayer.norm)
    residual.norm_first = sublayer.placement in ("pre", "after")
    vars(residual)["adds_late"] = sublayer.placement != "pre"
    if isinstance(sublayer.part, Attention):
        _attention(found, part, sublayer.part, reading.d_model)
    else:
        _network(found, part, sublayer.part)


def _attention(found: Reference, ours: MultiHeadAttention, read: Attention, width: int) -> None:
    query, key, value = read.query, read.key, read.value
    assert query is not None
    assert key is not None
    assert value is not None
    scale = read.product_pairs[0].scale * query.scale * key.scale
    right = 1 / math.sqrt(read.d_k)
    factor = 1.0
    if abs(scale / right - 1) > NEAR:
        known = {
            "unscaled-scores": 1.0,
            "scores-scaled-by-d-model": 1 / math.sqrt(read.heads * read.d_k),
            "scores-multiplied": math.sqrt(read.d_k),
        }
        named = [n for n, number in known.items() if abs(scale / number - 1) < NEAR]
        if named and not found.folded:
            found.show(named[0])
        else:
            factor = scale / right
            found.choose(f"scores times {scale:.4g}, not 1/√d_k = {right:.4g}, folded into W^Q")
    elif abs(query.scale - 1) > NEAR or abs(key.scale - 1) > NEAR:
        found.choose("queries or keys are scaled instead of the scores")
    _set_linear(ours.query, factor * query.weight, factor * query.bias)
    _set_linear(ours.key, key.weight, key.bias)
    _set_linear(ours.value, value.scale * value.weight, value.scale * value.bias)
    ours.num_heads = max(1, read.heads)
    inner = len(value.weight)
    if read.output is None and found.folded and inner == width:
        _set_linear(ours.output, np.eye(width), np.zeros(width))
    elif read.output is None:
        found.show("output-projection-unused")
        _set_linear(ours.output, np.zeros((width, inner)), np.zeros(width))
    else:
        _set_linear(ours.output, *read.output)
    if inner != width:
        found.choose(f"the heads are {inner} wide in all, the model {width}")
    if not any(part.bias.any() for part in (query, key, value)):
        found.choose("no bias in W^Q, W^K, W^V")
    split = {"queries", "keys", "values"} <= read.heads_as_in_paper
    if split and "merge" not in read.heads_as_in_paper and read.output is not None:
        found.show("heads-merged-by-view")


def _network(found: Reference, ours: FeedForward, read: Network) -> None:
    if read.activation is None:
        raise Unmapped(
            "The activation between the two maps of a feed-forward network is none of relu, gelu "
            "and swish.",
            read.hidden.number,
        )
    if read.activation == "none":
        found.show("no-activation")
    elif read.activation != "relu":
        found.choose(f"activation {read.activation}")
    if read.activation == "gelu_tanh":
        ours.activation = _gelu_tanh
        found.obstacles.append("gelu by the tanh formula")
    elif read.activation in ("gelu", "swish"):
        ours.activation = F.gelu if read.activation == "gelu" else F.silu
    inner = read.inner
    _set_linear(ours.inner, inner.scale * inner.weight, inner.scale * inner.bias)
    _set_linear(ours.outer, read.weight, read.bias)
    widths = found.config.d_ff, found.config.decoder_d_ff
    if len(inner.weight) != widths[0]:
        found.choose(f"a feed-forward width of {len(inner.weight)} beside {widths[0]}")
    if len(inner.weight) not in widths:
        found.obstacles.append("feed-forward networks of different widths in one stack")


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _orders(found: Reference, reading: Reading) -> None:
    """Note, as faults or choices, where norms are placed and residual connections are missing."""
    for side, layers in (("encoder", reading.encoder), ("decoder", reading.decoder)):
        subs = [s for layer in layers for s in layer.sublayers]
        if len({s.placement for s in subs}) > 1:
            found.obstacles.append(f"norms in different places in the layers of the {side}")
        if "pre" in {s.placement for s in subs} <= {"pre", "after"}:
            found.choose(f"pre-norm {side}: norms before the sub-layers")
    placements = {s.placement for s in reading.sublayers}
    if placements == {"none"}:
        found.show("no-layer-norm")
    if "after" in placements <= {"pre", "after"}:
        found.show("residual-after-norm")
    for layers in (reading.encoder, reading.decoder):
        if not any(s.residual for layer in layers for s in layer.sublayers):
            found.show("no-residual")


# --- embeddings -----------------------------------------------------------------------------------


def _embeddings(found: Reference, reading: Reading) -> None:
    model, config = found.model, found.config
    root = math.sqrt(config.d_model)
    sides = (reading.source, reading.target)
    bare = all(abs(one.scale - 1) < NEAR for one in sides) and config.d_model > 1
    if bare and not found.folded:
        found.show("unscaled-embeddings")
    for side, read, ours in (
        ("source", reading.source, model.source_embedding),
        ("target", reading.target, model.target_embedding),
    ):
        factor = 1.0
        if not bare and abs(read.scale / root - 1) > NEAR:
            factor = read.scale / root
            found.choose(
                f"{side} embeddings times {read.scale:.4g}, not √d_model = {root:.4g}, folded"
            )
        _embedding(found, side, read, ours, factor)
    if reading.source.leaf == reading.target.leaf:
        found.choose("one embedding for source and target")


def _embedding(
    found: Reference, side: str, read: SideEmbedding, ours: Embedding, factor: float
) -> None:
    ours.tokens.weight = nn.Parameter(_tensor(factor * read.tokens))
    ours.tokens.num_embeddings = len(read.tokens)
    ours.scale = math.sqrt(found.config.d_model)
    if found.folded and abs(read.scale - 1) < NEAR and factor == 1.0:
        ours.scale = 1.0
    added, length = read.positions.added, found.config.max_length
    formula = formula_of(added)
    if read.positions.learned:
        found.choose(f"learned positions on the {side} side")
    elif found.folded:
        pass  # any formula can be held as a table
    elif formula == "none":
        found.show("no-positions")
        added = sines("interleaved", length, found.config.d_model)
    elif formula == "doubled":
        found.show("positions-wrong-formula")
        added = sines("interleaved", length, found.config.d_model)
    elif formula.split(",")[0] in WRONG:
        found.positions = f"The positional encoding follows another formula: {formula}."
    elif formula == "":
        found.positions = "The positional encoding is neither learned nor a known formula of sines."
    elif formula != "interleaved":
        found.choose(f"positions: {formula}")
    if read.positions.in_parameter and not read.positions.learned:
        found.choose(f"the {side} side's positions lie in a parameter, and follow a formula")
    if formula not in ("none", "doubled", "interleaved", "halves") and not read.positions.learned:
        found.choose(f"the {side} side's positions are copied as a table")
    table = np.zeros((length, added.shape[1]))
    table[: len(added)] = added[:length]
    _set_positions(ours, _tensor(table))
    if read.start_is_zero:
        ours.tokens.weight.data[read.start] = 0.0
        found.choose("the decoder starts from a vector of zeros, here a row of the embedding")
        found.obstacles.append("a start from a vector of zeros")
    if read.norm is not None and found.config.embedding_norm:
        stack = found.model.encoder if side == "source" else found.model.decoder
        assert isinstance(stack.embedding_norm, LayerNorm)
        _set_norm(found, stack.embedding_norm, read.norm)
        found.choose("a norm after the embeddings")
    elif read.norm is not None:
        found.show("norm-after-embeddings")
        ours.norm = LayerNorm(found.config)
        _set_norm(found, ours.norm, read.norm)


def _set_positions(ours: Embedding, table: Tensor) -> None:
    ours._parameters.pop("positions", None)
    ours._buffers.pop("positions", None)
    ours.register_buffer("positions", table, persistent=False)


def _flow(found: Reference, reading: Reading) -> None:
    """Note faults and choices in the data flow between layers, and from encoder to decoder."""
    for stack, layers in (("encoder", reading.encoder), ("decoder", reading.decoder)):
        first = layers[0].sublayers[0].stream
        if len(layers) > 1 and all(x.sublayers[0].stream == first for x in layers[1:]):
            found.show("layers-reuse-input")
            found.reused.append(stack)
    labels = reading.graph.labels_of
    for layer in reading.decoder:
        cross = layer.sublayers[1].part
        assert isinstance(cross, Attention)
        if cross.key is not None and labels(cross.key.base).min() >= 1 << 24:
            found.show("cross-attention-reads-decoder")
        if cross.key is not None and cross.key.before:
            found.choose("a linear map between encoder and decoder, folded into W^K and W^V")

"""PyTorch's own modules with the weights of ours, and how the parameters correspond."""

from collections.abc import Callable
from typing import Any, cast

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from transformer.config import TransformerConfig
from transformer.model import (
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    FeedForward,
    LayerNorm,
    MultiHeadAttention,
)

few = settings(max_examples=20)
seeds = st.integers(0, 10**6)
sizes = st.integers(1, 6)
# An odd d_k is allowed as long as d_model is even.
head_shapes = st.sampled_from(
    [(heads, d_k) for heads in range(1, 5) for d_k in range(1, 6) if heads * d_k % 2 == 0]
)

Pairing = list[tuple[Tensor, list[Tensor]]]
"""Each parameter of PyTorch's module, with those of ours whose concatenation it equals."""


@st.composite
def configs(draw: st.DrawFn, /, **fixed: Any) -> TransformerConfig:
    heads, d_k = draw(head_shapes)
    source_vocabulary, target_vocabulary = draw(st.integers(5, 12)), draw(st.integers(5, 12))
    share = draw(st.booleans())
    # Special ids in any order, so that no code can rely on a fixed one.
    pad_id, bos_id, eos_id, unk_id, start_id = draw(st.permutations(range(5)))
    values: dict[str, Any] = {
        "source_vocab_size": target_vocabulary if share else source_vocabulary,
        "target_vocab_size": target_vocabulary,
        "d_model": heads * d_k,
        "num_heads": heads,
        "num_encoder_layers": draw(st.integers(1, 3)),
        "num_decoder_layers": draw(st.integers(1, 3)),
        "d_ff": draw(st.integers(1, 12)),
        "dropout": 0.0,
        "max_length": draw(st.integers(6, 20)),
        "norm_first": draw(st.booleans()),
        "final_norm": draw(st.booleans()),
        "activation": draw(st.sampled_from(["relu", "gelu", "swish"])),
        "tie_embeddings": draw(st.booleans()),
        "share_embeddings": share,
        "scale_embeddings": draw(st.booleans()),
        "position_layout": draw(st.sampled_from(["interleaved", "halves"])),
        "output_bias": draw(st.booleans()),
        "layer_norm_eps": draw(st.sampled_from([1e-5, 1e-3, 0.1])),
        "pad_id": pad_id,
        "bos_id": bos_id,
        "eos_id": eos_id,
        "unk_id": unk_id,
        "decoder_start_id": start_id,
    }
    return TransformerConfig(**values | fixed)


def close(ours: Tensor | None, theirs: Tensor | None) -> None:
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def randomise(module: nn.Module) -> None:
    """Make every parameter random: biases of 0 and gains of 1 would hide where they are applied."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)


def random_lengths_mask(batch: int, length: int) -> Tensor:
    """True at real tokens, [batch, length]; every sentence has at least one, at its start."""
    lengths = torch.randint(1, length + 1, (batch, 1))
    return torch.arange(length) < lengths


# --- How our parameters correspond to PyTorch's ----------------------------------------------


def pair_linear(ours: nn.Linear, theirs: nn.Linear) -> Pairing:
    return [(theirs.weight, [ours.weight]), (theirs.bias, [ours.bias])]


def pair_norm(ours: LayerNorm, theirs: nn.LayerNorm) -> Pairing:
    return [(theirs.weight, [ours.gain]), (theirs.bias, [ours.bias])]


def pair_attention(ours: MultiHeadAttention, theirs: nn.MultiheadAttention) -> Pairing:
    projections = (ours.query, ours.key, ours.value)
    assert theirs.in_proj_weight is not None
    assert theirs.in_proj_bias is not None
    return [
        (theirs.in_proj_weight, [projection.weight for projection in projections]),
        (theirs.in_proj_bias, [projection.bias for projection in projections]),
        *pair_linear(ours.output, theirs.out_proj),
    ]


def pair_feed_forward(ours: FeedForward, theirs: Any) -> Pairing:
    return pair_linear(ours.inner, theirs.linear1) + pair_linear(ours.outer, theirs.linear2)


def pair_encoder(ours: Encoder, theirs: nn.TransformerEncoder) -> Pairing:
    pairing: Pairing = []
    for left, right in zip(ours.layers, theirs.layers, strict=True):
        mine, other = cast(EncoderLayer, left), cast(nn.TransformerEncoderLayer, right)
        pairing += pair_attention(mine.self_attention, other.self_attn)
        pairing += pair_norm(mine.self_attention_residual.norm, other.norm1)
        pairing += pair_feed_forward(mine.feed_forward, other)
        pairing += pair_norm(mine.feed_forward_residual.norm, other.norm2)
    if theirs.norm is not None:
        pairing += pair_norm(cast(LayerNorm, ours.norm), cast(nn.LayerNorm, theirs.norm))
    return pairing


def pair_decoder(ours: Decoder, theirs: nn.TransformerDecoder) -> Pairing:
    pairing: Pairing = []
    for left, right in zip(ours.layers, theirs.layers, strict=True):
        mine, other = cast(DecoderLayer, left), cast(nn.TransformerDecoderLayer, right)
        pairing += pair_attention(mine.self_attention, other.self_attn)
        pairing += pair_norm(mine.self_attention_residual.norm, other.norm1)
        pairing += pair_attention(mine.cross_attention, other.multihead_attn)
        pairing += pair_norm(mine.cross_attention_residual.norm, other.norm2)
        pairing += pair_feed_forward(mine.feed_forward, other)
        pairing += pair_norm(mine.feed_forward_residual.norm, other.norm3)
    if theirs.norm is not None:
        pairing += pair_norm(cast(LayerNorm, ours.norm), cast(nn.LayerNorm, theirs.norm))
    return pairing


def copy_weights(pairing: Pairing, ours: nn.Module, theirs: nn.Module) -> None:
    """Copy our weights into PyTorch's module, after checking that no parameter is left out."""
    assert {id(one) for one, _ in pairing} == {id(one) for one in theirs.parameters()}
    assert {id(one) for _, many in pairing for one in many} == {id(p) for p in ours.parameters()}
    with torch.no_grad():
        for theirs_one, ours_many in pairing:
            theirs_one.copy_(torch.cat(ours_many))


def gradients_close(pairing: Pairing) -> None:
    for theirs_one, ours_many in pairing:
        grads = [one.grad for one in ours_many if one.grad is not None]
        assert len(grads) == len(ours_many)
        close(torch.cat(grads), theirs_one.grad)


def twins(*shape: int) -> tuple[Tensor, Tensor]:
    """The same random input twice, each with its own gradient."""
    x = torch.randn(shape)
    return x.clone().requires_grad_(), x.clone().requires_grad_()


def backward(ours: Tensor, theirs: Tensor) -> None:
    """Gradients of a randomly weighted sum: a plain sum has zero gradients through a softmax."""
    close(ours, theirs)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "swish": F.silu,
}


def torch_norm(config: TransformerConfig) -> nn.LayerNorm | None:
    return nn.LayerNorm(config.d_model, config.layer_norm_eps) if config.final_norm else None


def torch_layer_options(config: TransformerConfig) -> dict[str, Any]:
    return {
        "d_model": config.d_model,
        "nhead": config.num_heads,
        "dim_feedforward": config.d_ff,
        "dropout": 0.0,
        "activation": ACTIVATIONS[config.activation],
        "layer_norm_eps": config.layer_norm_eps,
        "batch_first": True,
        "norm_first": config.norm_first,
    }


def torch_encoder(config: TransformerConfig, ours: Encoder) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(**torch_layer_options(config))
    theirs = nn.TransformerEncoder(
        layer, config.num_encoder_layers, torch_norm(config), enable_nested_tensor=False
    )
    copy_weights(pair_encoder(ours, theirs), ours, theirs)
    return theirs


def torch_decoder(config: TransformerConfig, ours: Decoder) -> nn.TransformerDecoder:
    layer = nn.TransformerDecoderLayer(**torch_layer_options(config))
    theirs = nn.TransformerDecoder(layer, config.num_decoder_layers, torch_norm(config))
    copy_weights(pair_decoder(ours, theirs), ours, theirs)
    return theirs

"""The model against PyTorch's own modules and the paper's formulas, with the same weights.

Everything runs in float64 and has to agree to 1e-10: at that distance two programs compute
the same formula, and a wrong mask, scale or axis cannot hide behind rounding.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
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
    Transformer,
    attention_scores,
    attention_weights,
    causal_mask,
    padding_mask,
    sinusoids,
)

few = settings(max_examples=20)
seeds = st.integers(0, 10**6)
sizes = st.integers(1, 6)
# An odd d_k is allowed as long as d_model is even.
head_shapes = st.sampled_from(
    [(heads, d_k) for heads in range(1, 5) for d_k in range(1, 6) if heads * d_k % 2 == 0]
)

Pairing = list[tuple[Tensor, list[Tensor]]]
"""Each parameter of PyTorch's module, with those of ours that it is the concatenation of."""


@pytest.fixture(autouse=True, scope="module")
def _float64() -> Iterator[None]:
    """The default and not .double(): the positions must be born in float64 as well."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@st.composite
def configs(draw: st.DrawFn, /, **fixed: Any) -> TransformerConfig:
    heads, d_k = draw(head_shapes)
    source_vocabulary, target_vocabulary = draw(st.integers(5, 12)), draw(st.integers(5, 12))
    share = draw(st.booleans())
    # Special ids in any order, so that none is taken for granted.
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
    """Every parameter random: zero biases and gains of 1 would hide where they are applied."""
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
    """Ours into theirs; a parameter that the pairing forgot would make the comparison weaker."""
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
    """The same random input twice, each with a gradient of its own."""
    x = torch.randn(shape)
    return x.clone().requires_grad_(), x.clone().requires_grad_()


def backward(ours: Tensor, theirs: Tensor) -> None:
    """Gradients of a random weighted sum: of the plain sum, those through a softmax are 0."""
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


# --- Section 3.2: attention ------------------------------------------------------------------


@few
@given(seeds, sizes, sizes, sizes, sizes, st.integers(1, 8), st.booleans())
def test_attention_is_scaled_dot_product_attention(
    seed: int, batch: int, heads: int, queries: int, keys: int, d_k: int, masked: bool
) -> None:
    torch.manual_seed(seed)
    q, q_twin = twins(batch, heads, queries, d_k)
    k, k_twin = twins(batch, heads, keys, d_k)
    v, v_twin = twins(batch, heads, keys, d_k)
    mask = None
    if masked:
        mask = torch.rand(batch, heads, queries, keys) < 0.5
        # PyTorch gives NaN where nothing is allowed, so every row allows one key at least.
        mask |= F.one_hot(torch.randint(keys, (batch, heads, queries)), keys).bool()
    ours = attention_weights(attention_scores(q, k), mask) @ v
    theirs = F.scaled_dot_product_attention(q_twin, k_twin, v_twin, attn_mask=mask)
    backward(ours, theirs)
    for one, twin in ((q, q_twin), (k, k_twin), (v, v_twin)):
        close(one.grad, twin.grad)


@few
@given(configs(), seeds, sizes, sizes, sizes, st.booleans())
def test_multi_head_attention_is_pytorchs(
    config: TransformerConfig, seed: int, batch: int, length: int, source: int, causal: bool
) -> None:
    torch.manual_seed(seed)
    ours = MultiHeadAttention(config)
    randomise(ours)
    theirs = nn.MultiheadAttention(config.d_model, config.num_heads, batch_first=True)
    pairing = pair_attention(ours, theirs)
    copy_weights(pairing, ours, theirs)
    x, x_twin = twins(batch, length, config.d_model)
    # A causal mask goes with self-attention, where queries and keys are the same positions.
    y, y_twin = (x, x_twin) if causal else twins(batch, source, config.d_model)
    real = random_lengths_mask(batch, y.size(1))
    mask, torch_mask = real[:, None, None], None
    if causal:
        order = causal_mask(length, length)
        mask, torch_mask = mask & order, ~order

    seen: list[Tensor] = []
    ours.weights.hooks.append(seen.append)
    output = ours(x, *ours.project(y), mask)
    expected, weights = theirs(
        x_twin,
        y_twin,
        y_twin,
        key_padding_mask=~real,
        attn_mask=torch_mask,
        average_attn_weights=False,
    )
    close(seen[0], weights)
    backward(output, expected)
    close(x.grad, x_twin.grad)
    close(y.grad, y_twin.grad)
    gradients_close(pairing)


@given(seeds, sizes, sizes)
def test_padding_and_causal_masks_allow_what_they_say(seed: int, batch: int, length: int) -> None:
    torch.manual_seed(seed)
    ids = torch.randint(0, 3, (batch, length))
    allowed = padding_mask(ids, pad_id=2)
    for b in range(batch):
        for key in range(length):
            assert allowed[b, 0, 0, key].item() is (ids[b, key].item() != 2)
    for queries in range(1, length + 1):
        order = causal_mask(queries, length)
        for query in range(queries):
            for key in range(length):
                # Row `query` stands at position length - queries + query of the whole.
                assert order[query, key].item() is (key <= length - queries + query)


# --- Section 3.1: the stacks -----------------------------------------------------------------


@settings(max_examples=25)
@given(configs(), seeds, sizes, sizes)
def test_encoder_is_pytorchs(config: TransformerConfig, seed: int, batch: int, length: int) -> None:
    torch.manual_seed(seed)
    ours = Encoder(config)
    randomise(ours)
    theirs = torch_encoder(config, ours)
    x, x_twin = twins(batch, length, config.d_model)
    real = random_lengths_mask(batch, length)
    backward(ours(x, real[:, None, None]), theirs(x_twin, src_key_padding_mask=~real))
    close(x.grad, x_twin.grad)
    gradients_close(pair_encoder(ours, theirs))


@settings(max_examples=25)
@given(configs(), seeds, sizes, sizes, sizes)
def test_decoder_is_pytorchs(
    config: TransformerConfig, seed: int, batch: int, source: int, target: int
) -> None:
    torch.manual_seed(seed)
    ours = Decoder(config)
    randomise(ours)
    theirs = torch_decoder(config, ours)
    x, x_twin = twins(batch, target, config.d_model)
    memory, memory_twin = twins(batch, source, config.d_model)
    real = random_lengths_mask(batch, source)
    expected = theirs(
        x_twin,
        memory_twin,
        tgt_mask=torch.ones(target, target, dtype=torch.bool).triu(1),
        memory_key_padding_mask=~real,
    )
    backward(ours(x, memory, real[:, None, None]), expected)
    close(x.grad, x_twin.grad)
    close(memory.grad, memory_twin.grad)
    gradients_close(pair_decoder(ours, theirs))


@settings(max_examples=25)
@given(configs(), seeds, sizes, st.integers(1, 6), st.integers(1, 6))
def test_whole_model_is_embedding_stacks_and_projection(
    config: TransformerConfig, seed: int, batch: int, source: int, target: int
) -> None:
    """Figure 1 put together from PyTorch's stacks and the paper's formulas."""
    torch.manual_seed(seed)
    model = Transformer(config)
    randomise(model)
    words = torch.randint(0, config.source_vocab_size, (batch, source))
    words[words == config.pad_id] = config.unk_id
    real = random_lengths_mask(batch, source)
    words[~real] = config.pad_id
    written = torch.randint(0, config.target_vocab_size, (batch, target))

    scale = math.sqrt(config.d_model) if config.scale_embeddings else 1.0
    encoded = torch_encoder(config, model.encoder)(
        model.source_embedding.tokens.weight[words] * scale + by_the_paper(config)[:source],
        src_key_padding_mask=~real,
    )
    decoded = torch_decoder(config, model.decoder)(
        model.target_embedding.tokens.weight[written] * scale + by_the_paper(config)[:target],
        encoded,
        tgt_mask=torch.ones(target, target, dtype=torch.bool).triu(1),
        memory_key_padding_mask=~real,
    )
    tied = config.tie_embeddings
    projection = model.target_embedding.tokens.weight if tied else model.output.weight
    logits = decoded @ projection.T
    if config.output_bias:
        logits = logits + model.output.bias
    close(model(words, written), logits)


@few
@given(configs(), seeds, sizes, sizes, st.floats(0.01, 10))
def test_layer_norm_is_pytorchs(
    config: TransformerConfig, seed: int, batch: int, length: int, spread: float
) -> None:
    torch.manual_seed(seed)
    ours = LayerNorm(config)
    randomise(ours)
    theirs = nn.LayerNorm(config.d_model, config.layer_norm_eps)
    pairing = pair_norm(ours, theirs)
    copy_weights(pairing, ours, theirs)
    x, x_twin = twins(batch, length, config.d_model)
    # With a small spread ε dominates, and where it stands becomes visible.
    backward(ours(x * spread + 1), theirs(x_twin * spread + 1))
    close(x.grad, x_twin.grad)
    gradients_close(pairing)


# --- Sections 3.4 and 3.5: embeddings and positions ------------------------------------------


def by_the_paper(config: TransformerConfig) -> Tensor:
    """PE(pos, 2i) = sin(pos / 10000^(2i/d_model)), PE(pos, 2i+1) = cos(the same) (3.5)."""
    half = config.d_model // 2
    table = [[0.0] * config.d_model for _ in range(config.max_length)]
    for pos, row in enumerate(table):
        for i in range(half):
            angle = pos / 10000 ** (2 * i / config.d_model)
            sine, cosine = (
                (2 * i, 2 * i + 1) if config.position_layout == "interleaved" else (i, half + i)
            )
            row[sine], row[cosine] = math.sin(angle), math.cos(angle)
    return torch.tensor(table)


@few
@given(configs(max_length=300))
def test_sinusoids_are_the_papers_formula(config: TransformerConfig) -> None:
    close(sinusoids(config), by_the_paper(config))


@few
@given(configs(), seeds)
def test_embeddings_are_scaled_by_the_root_of_d_model(config: TransformerConfig, seed: int) -> None:
    torch.manual_seed(seed)
    embedding = Transformer(config).target_embedding
    ids = torch.arange(config.target_vocab_size)[None, : config.max_length]
    vectors = embedding(ids) - by_the_paper(config)[: ids.size(1)]
    scale = config.d_model**0.5 if config.scale_embeddings else 1.0
    close(vectors, scale * embedding.tokens.weight[ids])


@few
@given(configs())
def test_tied_and_shared_embeddings_are_one_tensor(config: TransformerConfig) -> None:
    model = Transformer(config)
    target = model.target_embedding.tokens.weight
    assert (model.output.weight is target) is config.tie_embeddings
    assert (model.source_embedding.tokens.weight is target) is config.share_embeddings


@settings(max_examples=40)
@given(configs())
def test_num_parameters_counts_distinct_parameters(config: TransformerConfig) -> None:
    distinct = {id(one): one.numel() for one in Transformer(config).parameters()}
    assert config.num_parameters == sum(distinct.values())

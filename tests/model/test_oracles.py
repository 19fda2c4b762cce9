"""The model against PyTorch's own modules and the paper's formulas, with the same weights.

Everything runs in float64 and has to agree to 1e-10: at that tolerance two programs compute
the same formula, and a wrong mask, scale or axis cannot hide behind rounding.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.support.pytorch_models import (
    backward,
    close,
    configs,
    copy_weights,
    few,
    gradients_close,
    pair_attention,
    pair_decoder,
    pair_encoder,
    pair_norm,
    random_lengths_mask,
    randomise,
    seeds,
    sizes,
    torch_decoder,
    torch_encoder,
    twins,
)
from transformer.config import TransformerConfig
from transformer.model import (
    Decoder,
    Encoder,
    LayerNorm,
    MultiHeadAttention,
    Transformer,
    attention_scores,
    attention_weights,
    causal_mask,
    padding_mask,
    sinusoids,
)

pytestmark = pytest.mark.usefixtures("float64")

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
                # Row `query` is position length - queries + query of the sequence.
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
    """Figure 1, built from PyTorch's stacks and the paper's formulas."""
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
    # With a small spread ε dominates, so its place in the formula matters.
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

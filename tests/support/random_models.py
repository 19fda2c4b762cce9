"""Configurations and models drawn at random, with inputs that fit them."""

from typing import Any

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from transformer.config import TransformerConfig
from transformer.model import Transformer
from transformer.vocabulary import Vocabulary

SWITCHED: dict[str, dict[str, Any]] = {
    "a final norm of the encoder alone": {"final_norm": True, "final_norm_side": "encoder"},
    "a final norm of the decoder alone": {"final_norm": True, "final_norm_side": "decoder"},
    "pre-norm encoder, post-norm decoder": {"norm_first": True, "decoder_norm": "after"},
    "post-norm encoder, pre-norm decoder": {"norm_first": False, "decoder_norm": "before"},
    "a norm after the embeddings": {"embedding_norm": True},
    "a decoder with another d_ff": {"decoder_d_ff": 20},
    "heads wider than the model": {"attention_width": 24, "num_heads": 4},
}
"""Switches that imported models need, one at a time."""

few = settings(max_examples=12)
seeds = st.integers(0, 10**6)
lengths = st.integers(1, 7)
batches = st.integers(1, 3)


def small_config(vocabulary: Vocabulary, **changes: Any) -> TransformerConfig:
    """One layer in each stack, a few thousand weights, one vocabulary for source and target."""
    values: dict[str, Any] = {
        "source_vocab_size": len(vocabulary),
        "target_vocab_size": len(vocabulary),
        "d_model": 16,
        "num_heads": 2,
        "num_encoder_layers": 1,
        "num_decoder_layers": 1,
        "d_ff": 16,
        "max_length": 24,
    }
    return TransformerConfig(**values | changes)


@st.composite
def configs(draw: st.DrawFn, /, **fixed: Any) -> TransformerConfig:
    # At least 4 wide: a layer norm over two numbers leaves little more than their signs.
    heads, d_k = draw(st.sampled_from([(1, 4), (1, 6), (2, 2), (2, 3), (3, 2), (4, 1)]))
    pad_id, bos_id, eos_id, unk_id, start_id = draw(st.permutations(range(5)))
    values: dict[str, Any] = {
        "source_vocab_size": draw(st.integers(6, 12)),
        "target_vocab_size": draw(st.integers(6, 12)),
        "d_model": heads * d_k,
        "num_heads": heads,
        "num_encoder_layers": draw(st.integers(1, 3)),
        "num_decoder_layers": draw(st.integers(1, 3)),
        "d_ff": draw(st.integers(1, 8)),
        "dropout": 0.5,  # must not matter in eval mode
        "max_length": 24,
        "norm_first": draw(st.booleans()),
        "final_norm": draw(st.booleans()),
        "activation": draw(st.sampled_from(["relu", "gelu", "swish"])),
        "output_bias": draw(st.booleans()),
        "position_layout": draw(st.sampled_from(["interleaved", "learned", "none"])),
        "pad_id": pad_id,
        "bos_id": bos_id,
        "eos_id": eos_id,
        "unk_id": unk_id,
        "decoder_start_id": start_id,
    }
    return TransformerConfig(**values | fixed)


def random_model(config: TransformerConfig, seed: int) -> Transformer:
    """A model in eval mode, with random weights, biases and gains. Seeds torch, so that what a test
    draws next is reproducible."""
    torch.manual_seed(seed)
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def sentences(model: Transformer, batch: int, length: int) -> Tensor:
    """Random source ids without padding, [batch, length]."""
    ids = torch.randint(0, model.config.source_vocab_size - 1, (batch, length))
    return ids + (ids >= model.config.pad_id)


def written(model: Transformer, batch: int, length: int) -> Tensor:
    """Random decoder inputs: the start token, then anything, [batch, length]."""
    ids = torch.randint(0, model.config.target_vocab_size, (batch, length))
    ids[:, 0] = model.config.decoder_start_id
    return ids


def padded(model: Transformer, source: Tensor, more: int) -> Tensor:
    return torch.cat([source, source.new_full((len(source), more), model.config.pad_id)], dim=1)


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)

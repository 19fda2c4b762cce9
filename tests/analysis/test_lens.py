"""The lens: each layer's logits are those of the model cut off after that layer."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from transformer.analysis.lens import lens
from transformer.config import TransformerConfig
from transformer.model import Transformer


def small_model(seed: int, *, norm_first: bool, final_norm: bool, layers: int = 3) -> Transformer:
    torch.manual_seed(seed)
    config = TransformerConfig(
        source_vocab_size=11,
        target_vocab_size=9,
        d_model=16,
        num_heads=2,
        num_encoder_layers=1,
        num_decoder_layers=layers,
        d_ff=24,
        max_length=12,
        norm_first=norm_first,
        final_norm=final_norm,
        tie_embeddings=seed % 2 == 0,
    )
    model = Transformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def read_by(model: Transformer) -> tuple[Tensor, Tensor]:
    return torch.randint(4, 11, (1, 6)), torch.randint(4, 9, (1, 5))


kinds = pytest.mark.parametrize(("norm_first", "final_norm"), [(True, True), (False, False)])


@kinds
@pytest.mark.parametrize("seed", range(4))
def test_the_last_layer_is_the_model_bit_for_bit(
    seed: int, norm_first: bool, final_norm: bool
) -> None:
    model = small_model(seed, norm_first=norm_first, final_norm=final_norm)
    source, read = read_by(model)
    with torch.inference_mode():
        own = model(source, read)[0]
    found = lens(model, source, read)
    assert found.logits.shape == (4, *own.shape)
    assert torch.equal(found.logits[-1], own)


@kinds
def test_a_layer_writes_what_a_model_cut_there_would(norm_first: bool, final_norm: bool) -> None:
    model = small_model(3, norm_first=norm_first, final_norm=final_norm)
    source, read = read_by(model)
    found = lens(model, source, read)
    for layers in (1, 2, 3):
        cut = Transformer(dataclasses.replace(model.config, num_decoder_layers=layers)).eval()
        left_out = cut.load_state_dict(model.state_dict(), strict=False)
        assert not left_out.missing_keys
        with torch.inference_mode():
            assert torch.equal(found.logits[layers], cut(source, read)[0])


def test_before_the_first_layer_there_is_only_the_token_just_read() -> None:
    model = small_model(1, norm_first=True, final_norm=True)
    source, read = read_by(model)
    with torch.inference_mode():
        expected = model.output(model.decoder.norm(model.target_embedding(read)))[0]
    assert torch.equal(lens(model, source, read).logits[0], expected)


def test_ranks_and_entropy() -> None:
    model = small_model(2, norm_first=True, final_norm=True)
    found = lens(model, *read_by(model))
    for position in range(5):
        ranks = found.ranks(position)
        for layer in range(4):
            row = found.logits[layer, position].tolist()
            assert sorted(ranks[layer].tolist()) == list(range(1, len(row) + 1))
            assert [1 + sum(other > value for other in row) for value in row] == ranks[
                layer
            ].tolist()
            powers = [math.exp(value - max(row)) for value in row]
            shares = [power / sum(powers) for power in powers]
            bits = -sum(share * math.log2(share) for share in shares)
            assert found.entropy[layer, position] == pytest.approx(bits, abs=1e-5)
            assert found.probabilities[layer, position].tolist() == pytest.approx(shares, abs=1e-6)


def test_equals_are_ranked_by_their_ids() -> None:
    model = small_model(0, norm_first=True, final_norm=True)
    with torch.no_grad():
        model.output.weight.zero_()
    found = lens(model, *read_by(model))
    assert found.ranks(0)[-1].tolist() == list(range(1, 10))
    assert found.entropy[-1, 0] == pytest.approx(math.log2(9))

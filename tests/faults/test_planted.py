"""Planted faults: each changes one model object at its declared place, and no other object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.random_models import random_model
from transformer.config import TransformerConfig
from transformer.config.faults import IN_MODEL as NAMES_IN_MODEL
from transformer.config.faults import NAMES
from transformer.decoding import greedy
from transformer.errors import ConfigError
from transformer.faults import FAULTS, IN_MODEL, plant
from transformer.hooks import own_modules, record
from transformer.model import Transformer

pytestmark = pytest.mark.usefixtures("float64")

LIBRARY = Path(__file__).parents[2] / "transformer"
FIRST: Mapping[str, str] = {
    "softmax-over-queries": "encoder.layers.0.self_attention.weights",
    "softmax-over-heads": "encoder.layers.0.self_attention.weights",
    "unscaled-scores": "encoder.layers.0.self_attention.scores",
    "scores-scaled-by-d-model": "encoder.layers.0.self_attention.scores",
    "scores-multiplied": "encoder.layers.0.self_attention.scores",
    "heads-merged-by-view": "encoder.layers.0.self_attention_residual.after",
    "heads-split-by-view": "encoder.layers.0.self_attention.queries",
    "output-projection-unused": "encoder.layers.0.self_attention_residual.after",
    "keys-values-swapped": "encoder.layers.0.self_attention.keys",
    "batch-time-swapped": "encoder.layers.0.self_attention.queries",
    "no-causal-mask": "decoder.layers.0.self_attention.weights",
    "causal-mask-off-by-one": "decoder.layers.0.self_attention.weights",
    "causal-mask-inverted": "decoder.layers.0.self_attention.weights",
    "no-source-padding-mask": "encoder.layers.0.self_attention.weights",
    "padding-mask-inverted": "encoder.layers.0.self_attention.weights",
    "padding-mask-on-queries": "encoder.layers.0.self_attention.weights",
    "no-cross-padding-mask": "decoder.layers.0.cross_attention.weights",
    "mask-value-too-weak": "encoder.layers.0.self_attention.weights",
    "mask-after-softmax": "encoder.layers.0.self_attention.weights",
    "no-positions": "encoder.layers.0.self_attention_residual.before",
    "positions-wrong-formula": "encoder.layers.0.self_attention_residual.before",
    "unscaled-embeddings": "encoder.layers.0.self_attention_residual.before",
    "norm-after-embeddings": "encoder.layers.0.self_attention_residual.before",
    "output-softmaxed": "logits",
    "dropout-in-eval": "encoder.layers.0.self_attention_residual.before",
    "no-residual": "encoder.layers.0.self_attention_residual.after",
    "residual-after-norm": "encoder.layers.0.self_attention_residual.after",
    "no-layer-norm": "encoder.layers.0.self_attention.queries",
    "layer-norm-unbiased": "encoder.layers.0.self_attention.queries",
    "layer-norm-eps-outside": "encoder.layers.0.self_attention.queries",
    "layer-norm-over-positions": "encoder.layers.0.self_attention.queries",
    "cross-attention-reads-decoder": "decoder.layers.0.cross_attention.keys",
    "shared-layers": "encoder.layers.1.self_attention.queries",
    "layers-reuse-input": "encoder.layers.1.self_attention_residual.before",
    "no-activation": "encoder.layers.0.feed_forward_residual.after",
}
"""For each fault the first value unlike the healthy model's (same weights and inputs)."""
SHOWN = (
    *("model.py", "dropout.py", "training/batches.py", "training/loop.py"),
    *("training/optimizer.py", "decoding/strategies.py"),
)
ONLY_IN_TRAINING = {"memory-detached"}
"""Faults that change gradients, but no value of a forward pass."""
SOURCE = torch.tensor([[6, 7, 8, 9, 5, 0, 0], [9, 8, 7, 6, 5, 10, 6]])  # 0 is <pad>
TARGET = torch.tensor([[1, 9, 6, 8, 7], [1, 6, 10, 5, 9]])


def made(**changes: Any) -> Transformer:
    values: dict[str, Any] = {
        "source_vocab_size": 11,
        "target_vocab_size": 12,
        "d_model": 16,
        "num_heads": 4,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
        "d_ff": 24,
        "dropout": 0.3,
        "max_length": 24,
        "norm_first": True,
        "final_norm": True,
        "layer_norm_eps": 1e-3,  # large enough that its place in the formula matters
    }
    return random_model(TransformerConfig(**values | changes), seed=1)


def values(model: Transformer) -> dict[str, Tensor]:
    """Every recorded value of one forward pass, in the order of computation."""
    with record(model) as trace, torch.no_grad():
        model(SOURCE, TARGET)
    return dict(trace)


def differences(left: Transformer, right: Transformer) -> list[str]:
    before, after = values(left), values(right)
    return [
        name
        for name, value in before.items()
        if value.shape != after[name].shape
        or not torch.allclose(value, after[name], rtol=0, atol=1e-9)
    ]


def test_every_fault_has_its_place_in_the_table() -> None:
    assert FIRST.keys() | ONLY_IN_TRAINING == IN_MODEL.keys()


def test_the_settings_know_the_names_of_all_faults() -> None:
    """The settings keep their own list, so that they need not import torch."""
    assert tuple(FAULTS) == NAMES
    assert tuple(IN_MODEL) == NAMES_IN_MODEL


@pytest.mark.parametrize("name", FIRST)
def test_the_first_value_that_differs_is_where_the_fault_is(name: str) -> None:
    healthy = made()
    faulty = own_modules(healthy)
    plant(faulty, name)
    assert differences(healthy, faulty)[0] == FIRST[name]


@pytest.mark.parametrize("name", FAULTS)
def test_other_objects_over_the_same_weights_stay_right(name: str) -> None:
    healthy = made()
    before = values(healthy)
    faulty = own_modules(healthy)
    plant(faulty, name)
    values(faulty)
    after = values(healthy)
    assert all(torch.equal(before[point], after[point]) for point in before)


@pytest.mark.parametrize("name", [name for name in FIRST if name != "dropout-in-eval"])
def test_a_view_of_a_faulty_model_has_the_fault_too(name: str) -> None:
    faulty = made()
    plant(faulty, name)
    assert not differences(faulty, own_modules(faulty))


@pytest.mark.parametrize(
    ("name", "norm_first"),
    [(name, number % 2 == 0) for number, name in enumerate(IN_MODEL)],
)
def test_a_faulty_model_trains_and_writes(name: str, norm_first: bool) -> None:
    """Its backward pass works, and greedy decoding follows its own logits at each step."""
    faulty = made(norm_first=norm_first, dropout=0.1)
    plant(faulty, name)
    faulty.train()
    faulty(SOURCE, TARGET).sum().backward()
    faulty.eval()
    if name == "dropout-in-eval":
        assert not torch.equal(faulty(SOURCE, TARGET), faulty(SOURCE, TARGET))
        return
    with torch.no_grad():
        for step in greedy(faulty, SOURCE[1:], max_length=4):
            written = step.tokens[0]  # [1, position + 1]
            start = written.new_full((1, 1), faulty.config.decoder_start_id)
            before = torch.cat([start, written[:, :-1]], dim=1)
            logits = faulty(SOURCE[1:], before)[0, -1]
            assert int(written[0, -1]) == int(logits.argmax())


def test_a_detached_memory_gives_the_encoder_no_gradient() -> None:
    faulty = made()
    plant(faulty, "memory-detached")
    faulty(SOURCE, TARGET).sum().backward()
    assert all(parameter.grad is None for parameter in faulty.encoder.parameters())
    assert faulty.output.weight.grad is not None


def test_two_faults_are_both_there() -> None:
    healthy = made()
    one, both = own_modules(healthy), own_modules(healthy)
    plant(one, "unscaled-scores")
    plant(both, "unscaled-scores", "softmax-over-queries")
    scores, weights = (f"encoder.layers.0.self_attention.{kind}" for kind in ("scores", "weights"))
    assert torch.equal(values(both)[scores], values(one)[scores])
    assert torch.allclose(values(both)[weights].sum(-2), torch.ones(()).double())


@pytest.mark.parametrize("name", FAULTS)
def test_the_right_line_stands_in_the_model(name: str) -> None:
    """The line that is shown as right occurs in our own code."""
    texts = [" ".join((LIBRARY / file).read_text().split()) for file in SHOWN]
    assert any(FAULTS[name].right in text for text in texts)


def test_an_unknown_fault_and_one_that_cannot_be_are_named() -> None:
    with pytest.raises(ConfigError, match="no fault 'softmax'"):
        plant(made(), "softmax")
    with pytest.raises(ConfigError, match="cannot have the fault 'shared-layers'"):
        plant(made(num_encoder_layers=1, num_decoder_layers=1), "shared-layers")


def test_faults_that_meet_in_one_module_are_planted_once() -> None:
    """Both faults remove the cross-attention mask, and one of them is planted twice."""
    once, twice = made(), made()
    plant(once, "no-source-padding-mask")
    plant(twice, "no-source-padding-mask", "no-cross-padding-mask", "no-source-padding-mask")
    assert not differences(once, twice)


@pytest.mark.parametrize(
    "name", ["scores-scaled-by-d-model", "heads-merged-by-view", "heads-split-by-view"]
)
def test_a_model_with_one_head_cannot_mix_heads(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot have the fault"):
        plant(made(num_heads=1), name)

"""The fast model computes what ``model.py`` does: outputs and gradients, in float64."""

import pytest
import torch
from hypothesis import given, settings

from tests.support.pytorch_models import close, configs, randomise, seeds, sizes
from tests.support.random_models import SWITCHED
from transformer.config import TransformerConfig
from transformer.dropout import Dropout
from transformer.faults import plant
from transformer.hooks import ablate, record
from transformer.model import Transformer
from transformer.tasks.presets import PRESETS
from transformer.training.fast_model import FastModel, is_plain
from transformer.training.loop import cross_entropy
from transformer.training.packing import Rows

pytestmark = pytest.mark.usefixtures("float64")


def ids(config: TransformerConfig, size: int, batch: int, length: int) -> torch.Tensor:
    """Random token ids, with padding in about half of the calls; each row begins with a token."""
    found = torch.randint(0, size, (batch, length))
    if torch.rand(()) < 0.5:
        found[torch.rand(batch, length) < 0.4] = config.pad_id
    found[found[:, 0] == config.pad_id, 0] = config.eos_id
    return found


@settings(max_examples=60)
@given(configs(layer_norm_eps=0.1), seeds, sizes, sizes, sizes)
def test_outputs_and_gradients_are_the_models(
    config: TransformerConfig, seed: int, batch: int, source_length: int, target_length: int
) -> None:
    """The ε is large, since without one a norm over two numbers magnifies rounding errors."""
    torch.manual_seed(seed)
    assert_same(config, batch, source_length, target_length)


@pytest.mark.parametrize("preset", PRESETS)
def test_outputs_equal_with_each_preset(preset: str) -> None:
    torch.manual_seed(1)
    sizes = {"source_vocab_size": 30, "target_vocab_size": 31}
    small = {"d_model": 64, "num_heads": 4, "d_ff": 128, "dropout": 0.0, "max_length": 128}
    assert_same(TransformerConfig(**PRESETS[preset].model | sizes | small), 8, 12, 9)


@pytest.mark.parametrize("name", SWITCHED)
def test_outputs_equal_with_each_imported_option(name: str) -> None:
    torch.manual_seed(2)
    sizes = {"source_vocab_size": 30, "target_vocab_size": 31, "d_model": 16, "d_ff": 24}
    small = {"num_encoder_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "dropout": 0.0}
    assert_same(TransformerConfig(**sizes | small | SWITCHED[name]), 4, 7, 6)


def assert_same(
    config: TransformerConfig, batch: int, source_length: int, target_length: int
) -> None:
    model = Transformer(config)
    randomise(model)
    source = ids(config, config.source_vocab_size, batch, source_length)
    target = ids(config, config.target_vocab_size, batch, target_length)
    wanted = torch.randint(0, config.target_vocab_size, target.shape)
    found = []
    for called in (model, FastModel(model)):
        logits = called(source, target)
        loss = cross_entropy(logits, wanted, config.pad_id, 0.1, reduction="sum")
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        found.append((logits, loss, *gradients))
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            close(ours, theirs)


def test_outputs_of_a_text_of_padding_alone_are_the_models() -> None:
    """Gradients are not: the model's mask stops them, an added one does not."""
    model = Transformer(CONFIG).eval()
    source = torch.tensor([[CONFIG.pad_id] * 5, [CONFIG.eos_id, 4, *[CONFIG.pad_id] * 3]])
    close(FastModel(model)(source, TARGET[:2]), model(source, TARGET[:2]))


CONFIG = TransformerConfig(source_vocab_size=9, target_vocab_size=8, d_model=8, num_heads=2, d_ff=8)
SOURCE, TARGET = torch.randint(0, 8, (3, 5)), torch.randint(0, 8, (3, 4))


def test_where_somebody_looks_the_model_itself_is_called() -> None:
    model = Transformer(CONFIG).eval()
    fast_model = FastModel(model)
    with record(model) as trace:
        fast_model(SOURCE, TARGET)
    assert "encoder.layers.0.self_attention.weights" in trace
    assert is_plain(model)
    with ablate(model, "encoder.layers.0.self_attention.weights"):
        assert torch.equal(fast_model(SOURCE, TARGET), model(SOURCE, TARGET))
    calls: list[int] = []
    handle = model.encoder.register_forward_hook(lambda *_: calls.append(1))
    fast_model(SOURCE, TARGET)
    assert calls == [1]
    handle.remove()
    assert is_plain(model)


def test_a_planted_fault_stays_planted() -> None:
    model = Transformer(CONFIG).eval()
    before = FastModel(model)(SOURCE, TARGET)
    plant(model, "no-causal-mask")
    assert not is_plain(model)
    assert torch.equal(FastModel(model)(SOURCE, TARGET), model(SOURCE, TARGET))
    assert not torch.allclose(before, model(SOURCE, TARGET))


def test_dropout_falls_where_the_model_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One fixed mask for every dropout makes the two models comparable."""
    model = Transformer(CONFIG.replace(dropout=0.5))
    without = model.eval()(SOURCE, TARGET)
    even = torch.arange(CONFIG.d_model) % 2 * 2.0
    monkeypatch.setattr(Dropout, "kept", lambda self, x: even.expand_as(x))
    fast_model = FastModel(model.train())
    found = fast_model(SOURCE, TARGET)
    torch.testing.assert_close(found, model(SOURCE, TARGET))
    assert not torch.allclose(found, without)
    sizes = [(len(side), side.size(1)) for side in (SOURCE, TARGET)]
    sides = [Rows(*size, torch.full(size[:1], size[1])) for size in sizes]
    packed = fast_model.packed(SOURCE, TARGET, (sides[0], sides[1]))
    torch.testing.assert_close(packed, found.transpose(0, 1).flatten(0, 1))

"""The decoding engines compared with the model itself, position by position."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from tests.support.checkpoint_files import wild_model
from tests.support.random_models import SWITCHED
from transformer.decoding.engines.engine import WIDEST, ModelSteps, StepDecoder, step_decoder
from transformer.decoding.engines.fused import INITIAL_POSITIONS, FastSteps
from transformer.decoding.engines.int8 import int8_copy
from transformer.decoding.engines.single import NumpySteps
from transformer.decoding.engines.single_beam import BeamSteps
from transformer.decoding.strategies import greedy
from transformer.errors import CheckpointError
from transformer.hooks import ablate, record
from transformer.model import Transformer

# Configurations of a layer, each with its own code path in the engines.
LAYOUTS: dict[str, dict[str, Any]] = {
    "paper": {"norm_first": False, "final_norm": False},
    "pre-norm, gelu": {"activation": "gelu"},
    "marian": {"position_layout": "halves", "activation": "swish", "output_bias": True},
    "learned, deep": {"position_layout": "learned", "num_decoder_layers": 3},
    "no positions": {"position_layout": "none"},
    "unscaled, tied": {"scale_embeddings": False, "tie_embeddings": True},
    **SWITCHED,
}


def model_of(layout: str, seed: int) -> Transformer:
    changes = LAYOUTS[layout] | {"max_length": 3 * INITIAL_POSITIONS}
    return wild_model(seed, **changes).double()


def sources(model: Transformer, batch: int, draw: random.Random) -> torch.Tensor:
    """Random source ids, padded to unequal lengths in half of the cases."""
    longest = draw.randint(2, 9)
    ids = torch.randint(4, model.config.source_vocab_size, (batch, longest))
    if draw.random() < 0.5:
        for row in range(1, batch):
            ids[row, draw.randint(1, longest) :] = model.config.pad_id
    return ids


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(4))
@torch.inference_mode()
def test_the_batch_engine_equals_the_model(layout: str, seed: int) -> None:
    """Logits stay equal while hypotheses are reordered or dropped and sentences end."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    model = model_of(layout, seed)
    batch, beam = draw.choice([(1, 1), (5, 1), (1, 4), (4, 3)])
    source = sources(model, batch, draw)
    walk_together(FastSteps(model, source, beam), model, source, beam, draw)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("engine", "most"), [(BeamSteps, 5), (NumpySteps, 1)])
@torch.inference_mode()
def test_single_sentence_engines_equal_the_model(
    engine: type[BeamSteps] | type[NumpySteps], most: int, layout: str
) -> None:
    draw = random.Random(layout)
    torch.manual_seed(len(layout))
    model = model_of(layout, 0)
    source = sources(model, 1, draw)
    source = torch.cat([source, torch.full((1, 2), model.config.pad_id)], dim=1)
    beam = draw.randint(min(2, most), most)
    assert engine.takes(model, source, beam)
    steps = BeamSteps(model, source, beam) if engine is BeamSteps else NumpySteps(model, source)
    walk_together(steps, model, source, beam, draw)


def walk_together(
    fast: StepDecoder, model: Transformer, source: torch.Tensor, beam: int, draw: random.Random
) -> None:
    """Check that ``fast`` gives the model's logits and attention along random outputs."""
    batch, plain = len(source), ModelSteps(model, source, beam, attention=True)
    written = torch.full((batch, beam, 1), model.config.decoder_start_id)
    for _ in range(2 * INITIAL_POSITIONS + 3):  # the cache of ``fast`` grows twice
        logits = fast.logits(written)
        assert torch.allclose(logits, plain.logits(written), rtol=0, atol=1e-10)
        for ours, theirs in zip(fast.attention(), plain.attention(), strict=True):
            assert ours.shape == theirs.shape
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)
        parents = torch.randint(beam, (len(written), beam))
        new = torch.randint(4, model.config.target_vocab_size, (len(written), beam, 1))
        rows = torch.arange(len(written))[:, None]
        written = torch.cat([written[rows, parents], new], dim=2)
        for steps in (fast, plain):
            steps.follow(parents)
        if len(written) > 2 and draw.random() < 0.1:
            assert isinstance(fast, FastSteps)  # the other engines decode one sentence
            unfinished = torch.arange(len(written)) != draw.randrange(len(written))
            written = written[unfinished]
            fast.keep_sentences(unfinished)
            plain.keep_sentences(unfinished)


@torch.inference_mode()
def test_which_library_multiplies_a_wide_model_depends_on_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = replace(wild_model().config, d_model=512)
    model, source, written = Transformer(wide).eval(), torch.tensor([[4, 5, 3]]), [[[1], [1]]]
    found = {}
    for capability in ("AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda it=capability: it)
        steps = step_decoder(model, source, beam_size=2)
        found[type(steps)] = steps.logits(torch.tensor(written))
    assert list(found) == [BeamSteps, FastSteps]
    torch.testing.assert_close(*found.values(), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_hooked_model_is_run_itself() -> None:
    model = wild_model()
    source = torch.tensor([[4, 5, 3]])
    assert isinstance(step_decoder(model, source), NumpySteps)
    assert isinstance(step_decoder(model, source, beam_size=2), BeamSteps)
    assert isinstance(step_decoder(model, source.repeat(2, 1)), FastSteps)
    assert isinstance(step_decoder(int8_copy(model), source), FastSteps)
    assert isinstance(step_decoder(wild_model().bfloat16(), source), FastSteps)
    with ablate(model, "decoder.layers.0.cross_attention.head_outputs"):
        assert isinstance(step_decoder(model, source), ModelSteps)
    with record(model, ["encoder.layers.0.self_attention.weights"]):
        assert isinstance(step_decoder(model, source), ModelSteps)
    assert isinstance(step_decoder(model, source, cached=False), ModelSteps)
    assert isinstance(step_decoder(model, source, beam_size=WIDEST + 1), ModelSteps)


@pytest.mark.parametrize("sentences", [1, 2])
def test_a_norm_that_divides_by_zero_is_named(sentences: int) -> None:
    """A forged file may have zero weights and an ε that float32 rounds to 0."""
    model = wild_model(layer_norm_eps=1e-60, position_layout="learned")
    for parameter in model.parameters():
        parameter.data.zero_()
    with pytest.raises(CheckpointError, match="overflow"):
        list(greedy(model, torch.tensor([[4, 3]] * sentences)))


@pytest.mark.parametrize("kind", [FastSteps, NumpySteps, partial(BeamSteps, beam_size=2)])
@torch.inference_mode()
def test_more_positions_than_there_are_is_an_error(
    kind: Callable[[Transformer, torch.Tensor], StepDecoder],
) -> None:
    model = wild_model(max_length=3)
    steps = kind(model, torch.tensor([[4, 3]]))
    beam = 2 if isinstance(steps, BeamSteps) else 1
    written = torch.full((1, beam, 1), model.config.decoder_start_id)
    for _ in range(3):
        steps.logits(written)
    with pytest.raises(ValueError, match="3 positions"):
        steps.logits(written)

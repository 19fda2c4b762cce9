"""Hooks record every value, change none by themselves, and patch the named ones."""

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.random_models import (
    batches,
    close,
    configs,
    few,
    lengths,
    random_model,
    seeds,
    sentences,
    small_config,
    written,
)
from transformer.config import TransformerConfig
from transformer.hooks import Trace, ablate, hook_points, record
from transformer.model import MultiHeadAttention, Transformer
from transformer.vocabulary import Vocabulary

pytestmark = pytest.mark.usefixtures("float64")


def expected_names(config: TransformerConfig) -> set[str]:
    kinds = {
        "encoder": (config.num_encoder_layers, ["self_attention"]),
        "decoder": (config.num_decoder_layers, ["self_attention", "cross_attention"]),
    }
    names = {"logits"}
    for stack, (depth, attentions) in kinds.items():
        for layer in range(depth):
            for attention in attentions:
                for part in ("queries", "keys", "values", "scores", "weights", "head_outputs"):
                    names.add(f"{stack}.layers.{layer}.{attention}.{part}")
            for sublayer in (*attentions, "feed_forward"):
                names.add(f"{stack}.layers.{layer}.{sublayer}_residual.before")
                names.add(f"{stack}.layers.{layer}.{sublayer}_residual.after")
    return names


def hooks_left(model: Transformer) -> int:
    return sum(len(point.hooks) for point in hook_points(model).values())


@few
@given(configs(), seeds, batches, lengths, lengths)
def test_recording_sees_everything_and_changes_nothing(
    config: TransformerConfig, seed: int, batch: int, source: int, target: int
) -> None:
    model = random_model(config, seed)
    words, past = sentences(model, batch, source), written(model, batch, target)
    before = model(words, past)
    with record(model) as trace:
        during = model(words, past)
    assert torch.equal(before, during)
    assert torch.equal(before, model(words, past))
    assert set(trace) == expected_names(model.config) == set(hook_points(model))
    assert torch.equal(trace["logits"], before)
    assert not any(value.requires_grad for value in trace.values())
    assert hooks_left(model) == 0


@few
@given(configs(), seeds, batches, lengths, lengths)
def test_trace_shapes_with_unequal_depths(
    config: TransformerConfig, seed: int, batch: int, source: int, target: int
) -> None:
    model = random_model(config, seed)
    with record(model) as trace:
        model(sentences(model, batch, source), written(model, batch, target))
    first = () if batch == 1 else (batch,)
    encoder, decoder = config.num_encoder_layers, config.num_decoder_layers
    heads, d_k = config.num_heads, config.d_k
    assert trace.encoder_attention.shape == (*first, encoder, heads, source, source)
    assert trace.decoder_attention.shape == (*first, decoder, heads, target, target)
    assert trace.cross_attention.shape == (*first, decoder, heads, target, source)
    last = f"decoder.layers.{decoder - 1}.cross_attention"
    assert trace[f"{last}.queries"].shape == (batch, heads, target, d_k)
    assert trace[f"{last}.keys"].shape == (batch, heads, source, d_k)
    assert trace[f"{last}.values"].shape == (batch, heads, source, d_k)
    assert trace[f"{last}.scores"].shape == (batch, heads, target, source)
    assert trace[f"{last}.head_outputs"].shape == (batch, heads, target, d_k)
    assert trace[f"{last}_residual.after"].shape == (batch, target, config.d_model)
    row = trace.cross_attention[-1] if batch == 1 else trace.cross_attention[0, -1]
    assert torch.equal(row, trace[f"{last}.weights"][0])


@settings(max_examples=5)
@given(configs(), seeds)
def test_hooks_are_gone_after_an_exception(config: TransformerConfig, seed: int) -> None:
    model = random_model(config, seed)
    words, past = sentences(model, 1, 3), written(model, 1, 2)
    before = model(words, past)
    with suppress(ZeroDivisionError), record(model), ablate(model, "logits"):
        assert hooks_left(model) > len(hook_points(model))
        raise ZeroDivisionError
    assert hooks_left(model) == 0
    assert torch.equal(before, model(words, past))


@settings(max_examples=5)
@given(configs(), seeds)
def test_names_that_do_not_exist(config: TransformerConfig, seed: int) -> None:
    model = random_model(config, seed)
    missing = f"decoder.layers.{config.num_decoder_layers}.cross_attention.weights"
    with pytest.raises(KeyError, match=missing), record(model, [missing]):
        pass
    with pytest.raises(KeyError, match=missing), ablate(model, missing):
        pass
    # One good name beside a bad one must not leave a hook behind.
    with pytest.raises(KeyError), record(model, ["logits", missing]):
        pass
    assert hooks_left(model) == 0
    with pytest.raises(KeyError):
        _ = Trace().cross_attention
    name = "encoder.layers.0.self_attention.head_outputs"
    with pytest.raises(IndexError), ablate(model, name, heads=[config.num_heads]):
        model(sentences(model, 1, 3), written(model, 1, 2))
    assert hooks_left(model) == 0


@few
@given(configs(), seeds, st.data())
def test_a_head_switched_off_is_its_columns_of_the_output_projection_zeroed(
    config: TransformerConfig, seed: int, data: st.DataObject
) -> None:
    model = random_model(config, seed)
    attentions = {
        name: part for name, part in model.named_modules() if isinstance(part, MultiHeadAttention)
    }
    name = data.draw(st.sampled_from(sorted(attentions)))
    head = data.draw(st.integers(0, config.num_heads - 1))
    words, past = sentences(model, 2, 4), written(model, 2, 3)
    by_hand = copy.deepcopy(model)
    d_k = config.d_k
    with torch.no_grad():
        attention = by_hand.get_submodule(name)
        assert isinstance(attention, MultiHeadAttention)
        attention.output.weight[:, head * d_k : (head + 1) * d_k] = 0
    with ablate(model, f"{name}.head_outputs", heads=[head]):
        ablated = model(words, past)
    close(ablated, by_hand(words, past))
    assert not torch.equal(ablated, model(words, past))


@few
@given(configs(), seeds, st.data())
def test_patching_a_recorded_value_back_changes_nothing(
    config: TransformerConfig, seed: int, data: st.DataObject
) -> None:
    model = random_model(config, seed)
    words, past = sentences(model, 2, 4), written(model, 2, 3)
    with record(model) as trace:
        before = model(words, past)
    name = data.draw(st.sampled_from(sorted(trace)))
    with ablate(model, name, replacement=trace[name]):
        assert torch.equal(model(words, past), before)


@few
@given(configs(), seeds)
def test_a_replacement_leaves_what_was_seen_or_cached_before_alone(
    config: TransformerConfig, seed: int
) -> None:
    """Hooks get a value's own memory, so writing into it would change the cache."""
    model = random_model(config, seed)
    words, past = sentences(model, 2, 4), written(model, 2, 3)
    memory = model.encode(words, cached=True)
    name = "decoder.layers.0.cross_attention.keys"
    with record(model) as trace, ablate(model, name):
        model.decode(past[:, :1], memory)
    assert trace[name].any()
    assert memory.cache is not None
    cached = memory.cache[0].cross_attention
    assert cached is not None
    assert cached[0].any()


@few
@given(configs(), seeds)
def test_patching_from_another_input_carries_it_over(config: TransformerConfig, seed: int) -> None:
    """With the keys and values of all cross-attentions patched, the source has no effect."""
    model = random_model(config, seed)
    words, other = sentences(model, 1, 4), sentences(model, 1, 4)
    assume(not torch.equal(words, other))
    past = written(model, 1, 3)
    with record(model) as trace:
        expected = model(other, past)
    assert not torch.equal(model(words, past), expected)
    # The decoder knows a source only through these keys and values.
    with ExitStack() as patches:
        for name in trace:
            if "cross_attention.keys" in name or "cross_attention.values" in name:
                patches.enter_context(ablate(model, name, replacement=trace[name]))
        assert torch.equal(model(words, past), expected)


def test_a_thread_neither_sees_nor_changes_what_another_computes() -> None:
    model = random_model(small_config(Vocabulary("characters", "abcdef")), 0)
    mine = sentences(model, 1, 3), written(model, 1, 3)
    other = sentences(model, 1, 5), written(model, 1, 5)
    name = "decoder.layers.0.cross_attention.weights"
    untouched = model(*other)
    with record(model) as trace, ablate(model, name):
        model(*mine)
        seen = dict(trace)
        with ThreadPoolExecutor(1) as beside:
            assert torch.equal(beside.submit(model, *other).result(), untouched)
        assert seen.keys() == trace.keys() == hook_points(model).keys()
        assert all(torch.equal(trace[point], seen[point]) for point in seen)
        assert not torch.equal(model(*other), untouched)
    assert not hooks_left(model)

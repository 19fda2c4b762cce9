"""What must hold of any Transformer, whatever its sizes and weights. All in float64."""

import ast
import copy
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import transformer
from transformer.config import TransformerConfig
from transformer.dropout import Dropout
from transformer.hooks import Trace, ablate, hook_points, record
from transformer.model import MultiHeadAttention, Transformer, attention_weights

few = settings(max_examples=20)
seeds = st.integers(0, 10**6)
lengths = st.integers(1, 7)
batches = st.integers(1, 3)
SOURCES = sorted(Path(transformer.__file__).parent.rglob("*.py"))


@pytest.fixture(autouse=True, scope="module")
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@st.composite
def configs(draw: st.DrawFn, /, **fixed: Any) -> TransformerConfig:
    # Not narrower than 4: a norm over two numbers leaves little but their signs.
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
        "position_layout": draw(st.sampled_from(["interleaved", "learned"])),
        "pad_id": pad_id,
        "bos_id": bos_id,
        "eos_id": eos_id,
        "unk_id": unk_id,
        "decoder_start_id": start_id,
    }
    return TransformerConfig(**values | fixed)


def random_model(config: TransformerConfig, seed: int) -> Transformer:
    """In eval mode, with random weights, biases and gains; what is drawn next is seeded too."""
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


# --- Masks -----------------------------------------------------------------------------------


@few
@given(configs(), seeds, batches, lengths, st.integers(2, 7), st.data())
def test_a_future_target_token_changes_no_earlier_logit(
    config: TransformerConfig, seed: int, batch: int, source: int, target: int, data: st.DataObject
) -> None:
    model = random_model(config, seed)
    position = data.draw(st.integers(1, target - 1))
    words, past = sentences(model, batch, source), written(model, batch, target)
    other = past.clone()
    other[:, position] = (past[:, position] + 1) % config.target_vocab_size
    before, after = model(words, past), model(words, other)
    close(after[:, :position], before[:, :position])
    # The token does matter from its own position on, so the comparison above is not empty.
    assert not torch.equal(after[:, position], before[:, position])


@few
@given(configs(), seeds, batches, lengths, lengths, st.integers(1, 5))
def test_source_padding_changes_nothing(
    config: TransformerConfig, seed: int, batch: int, source: int, target: int, more: int
) -> None:
    model = random_model(config, seed)
    words, past = sentences(model, batch, source), written(model, batch, target)
    close(model(padded(model, words, more), past), model(words, past))


@few
@given(configs(), seeds, st.lists(lengths, min_size=2, max_size=4), lengths)
def test_company_in_the_batch_changes_nothing(
    config: TransformerConfig, seed: int, several: list[int], target: int
) -> None:
    """Sentences of different lengths, computed together and each alone."""
    model = random_model(config, seed)
    alone = [sentences(model, 1, length) for length in several]
    past = written(model, len(several), target)
    batch = torch.cat([padded(model, one, max(several) - one.size(1)) for one in alone])
    together = model(batch, past)
    for row, words in enumerate(alone):
        close(together[row], model(words, past[row : row + 1])[0])


@few
@given(configs(), seeds, batches, st.integers(2, 7), st.integers(1, 4), lengths)
def test_attention_rows_sum_to_one_and_are_zero_under_the_mask(
    config: TransformerConfig, seed: int, batch: int, source: int, more: int, target: int
) -> None:
    model = random_model(config, seed)
    words = padded(model, sentences(model, batch, source), more)
    words[0, source - 1] = config.pad_id  # rows of different lengths
    real = words != config.pad_id
    with record(model) as trace:
        model(words, written(model, batch, target))
    future = torch.ones(target, target, dtype=torch.bool).triu(1)
    for name, allowed in (
        ("encoder_attention", real[:, None, None, None]),
        ("decoder_attention", ~future),
        ("cross_attention", real[:, None, None, None]),
    ):
        weights = getattr(trace, name)
        if batch == 1:
            weights = weights[None]
        close(weights.sum(-1), torch.ones(weights.shape[:-1]), 1e-12)
        assert (weights >= 0).all()
        assert (weights.masked_select(~allowed.expand_as(weights)) == 0).all()


@few
@given(configs(), seeds, lengths, lengths)
def test_a_source_of_padding_alone_gives_numbers(
    config: TransformerConfig, seed: int, source: int, target: int
) -> None:
    model = random_model(config, seed)
    words = torch.full((1, source), config.pad_id)
    assert model(words, written(model, 1, target)).isfinite().all()


@given(seeds, lengths, st.sampled_from([torch.float16, torch.float32, torch.float64]))
def test_a_fully_masked_row_is_not_nan(seed: int, keys: int, dtype: torch.dtype) -> None:
    torch.manual_seed(seed)
    scores = torch.randn(2, keys, dtype=dtype)
    weights = attention_weights(scores, torch.zeros(2, keys, dtype=torch.bool))
    assert weights.isfinite().all()


# --- Cache -----------------------------------------------------------------------------------


@st.composite
def chunk_sizes(draw: st.DrawFn) -> list[int]:
    return draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))


@few
@given(configs(), seeds, batches, lengths, chunk_sizes(), st.booleans())
def test_cached_decoding_equals_recomputation(
    config: TransformerConfig,
    seed: int,
    batch: int,
    source: int,
    chunks: list[int],
    one_by_one: bool,
) -> None:
    model = random_model(config, seed)
    chunks = [1] * sum(chunks) if one_by_one else chunks
    words = padded(model, sentences(model, batch, source), 2)
    past = written(model, batch, sum(chunks))
    memory = model.encode(words, cached=True)
    logits = torch.cat([model.decode(part, memory) for part in past.split(chunks, dim=1)], dim=1)
    assert memory.length == past.size(1)
    close(logits, model(words, past))


@few
@given(
    configs(),
    seeds,
    lengths,
    st.integers(1, 4),
    st.lists(st.integers(0, 2), min_size=1, max_size=5),
)
def test_selected_rows_of_a_cache_go_on_alone(
    config: TransformerConfig, seed: int, source: int, target: int, rows: list[int]
) -> None:
    """What a beam does: hypotheses are dropped, repeated and reordered between two steps."""
    model = random_model(config, seed)
    words = padded(model, sentences(model, 3, source), 1)
    past = written(model, 3, target + 1)
    memory = model.encode(words, cached=True)
    model.decode(past[:, :target], memory)
    memory.select(torch.tensor(rows))
    close(model.decode(past[rows, target:], memory), model(words[rows], past[rows])[:, target:])


@pytest.mark.parametrize(
    ("source", "chunks"),
    [
        pytest.param(1, [3, 2], id="second of two positions"),
        pytest.param(1, [4, 1], id="position after a full cache"),
        pytest.param(1, [5], id="target"),
        pytest.param(5, [1], id="source"),
    ],
)
def test_positions_the_model_does_not_have_are_refused(source: int, chunks: list[int]) -> None:
    """Nonsense must not come back in silence: a missing position could broadcast away."""
    config = TransformerConfig(
        source_vocab_size=9, target_vocab_size=9, d_model=4, num_heads=2, d_ff=4, max_length=4
    )
    model = random_model(config, seed=1)

    def run() -> None:
        memory = model.encode(sentences(model, 1, source), cached=True)
        for part in written(model, 1, sum(chunks)).split(chunks, dim=1):
            model.decode(part, memory)

    with pytest.raises((ValueError, IndexError, RuntimeError)):
        run()


# --- Dropout ---------------------------------------------------------------------------------


@few
@given(configs(), seeds, lengths, lengths)
def test_dropout_is_off_in_eval_and_on_in_train(
    config: TransformerConfig, seed: int, source: int, target: int
) -> None:
    model = random_model(config, seed)
    words, past = sentences(model, 2, source), written(model, 2, target)
    assert torch.equal(model(words, past), model(words, past))
    model.train()
    runs = [model(words, past) for _ in range(4)]
    assert not all(torch.equal(run, runs[0]) for run in runs)


@settings(max_examples=8)
@given(configs(), seeds)
def test_dropout_follows_both_embeddings_and_every_sub_layer(
    config: TransformerConfig, seed: int
) -> None:
    """Section 5.4 names the places; each is switched on alone, and has to be noticed."""
    model = random_model(config, seed)
    words, past = sentences(model, 4, 4), written(model, 4, 4)
    places = [part for part in model.modules() if isinstance(part, Dropout)]
    assert len(places) == 2 + 2 * config.num_encoder_layers + 3 * config.num_decoder_layers
    still = model(words, past)
    for place in places:
        assert torch.equal(model(words, past), still)
        place.train()
        assert not all(torch.equal(model(words, past), still) for _ in range(3))
        place.eval()


# --- Hooks -----------------------------------------------------------------------------------


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
    """Hooks hand over a value's own memory, so writing into it would reach the cache."""
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
    """With the keys and values of all cross-attentions patched, the source no longer counts."""
    model = random_model(config, seed)
    words, other = sentences(model, 1, 4), sentences(model, 1, 4)
    assume(not torch.equal(words, other))
    past = written(model, 1, 3)
    with record(model) as trace:
        expected = model(other, past)
    assert not torch.equal(model(words, past), expected)
    # What the decoder knows of a source is its keys and values, so these are all to be patched.
    with ExitStack() as patches:
        for name in trace:
            if "cross_attention.keys" in name or "cross_attention.values" in name:
                patches.enter_context(ablate(model, name, replacement=trace[name]))
        assert torch.equal(model(words, past), expected)


# --- What the library is made of -------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_comes_from_pytorchs_own_attention(path: Path) -> None:
    forbidden = ("Transformer", "MultiheadAttention", "multi_head_attention", "scaled_dot_product")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        # nn.X and F.x by attribute, and whatever is imported from torch by name.
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith(forbidden), node.attr
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            for name in node.names:
                assert not name.name.startswith(forbidden), name.name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_library_does_not_import_the_app(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert not imported & {"streamlit", "pages", "app"}

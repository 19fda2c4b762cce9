"""What must hold of any Transformer, whatever its sizes and weights. All in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.random_models import (
    batches,
    close,
    configs,
    few,
    lengths,
    padded,
    random_model,
    seeds,
    sentences,
    written,
)
from transformer.config import TransformerConfig
from transformer.dropout import Dropout
from transformer.hooks import record
from transformer.model import attention_weights

pytestmark = pytest.mark.usefixtures("float64")

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
    """Sentences of different lengths get equal logits together and alone."""
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
    """Each must raise: a missing position could broadcast into wrong logits."""
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
    """Each place named in Section 5.4 is switched on alone, and must change the logits."""
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

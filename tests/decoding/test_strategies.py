"""Greedy and beam search, compared with recomputation and the model's own output."""

import math
from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wild_models import (
    MAX_LENGTH,
    TOLERANCE,
    alphas,
    assert_same,
    batch_of,
    beams,
    few,
    log_probabilities,
    log_probability,
    penalty,
    seeds,
    sentences,
    wild_model,
)
from transformer.decoding.steps import (
    DecodingStep,
    length_penalty,
    output_limit,
    pad,
)
from transformer.decoding.strategies import Greedy, beam_search, decode, greedy
from transformer.hooks import record

pytestmark = pytest.mark.usefixtures("float64")


def test_the_models_here_write_varied_sentences_that_end_or_do_not() -> None:
    """If the models wrote empty outputs, all tests below could pass."""
    found = []
    for seed in range(24):
        model = wild_model(seed)
        found += decode(model, batch_of(model, sentences(model, 3)))
    assert len({len(one.tokens) for one in found}) >= 4
    assert {one.finished for one in found} == {True, False}
    assert len({one.tokens for one in found}) >= len(found) / 5


# --- Searches that must agree ----------------------------------------------------------------


@few
@given(seeds, alphas)
def test_a_beam_of_one_is_greedy(seed: int, alpha: float) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 3))
    single = decode(model, source, partial(beam_search, beam_size=1, alpha=alpha))
    for one, other in zip(single, decode(model, source), strict=True):
        assert one.tokens == other.tokens
        assert one.finished == other.finished
        assert one.log_prob == pytest.approx(other.log_prob, rel=0, abs=TOLERANCE)


@few
@given(seeds)
def test_greedy_with_and_without_a_cache(seed: int) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 3))
    assert_same(decode(model, source), decode(model, source, partial(greedy, cached=False)))


@settings(max_examples=20)
@given(seeds, beams, alphas)
def test_beam_search_with_and_without_a_cache(seed: int, beam_size: int, alpha: float) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 3))
    fast, slow = (
        list(beam_search(model, source, beam_size=beam_size, alpha=alpha, cached=cached))
        for cached in (True, False)
    )
    assert len(fast) == len(slow)
    for quick, plain in zip(fast, slow, strict=True):
        # Compare the whole beam: an error shows first in lower-ranked hypotheses.
        used = plain.total > -math.inf
        assert torch.equal(used, quick.total > -math.inf)
        assert torch.equal(quick.tokens[used], plain.tokens[used])
        torch.testing.assert_close(quick.total[used], plain.total[used], rtol=0, atol=TOLERANCE)


@few
@given(seeds, beams, alphas)
def test_a_batch_is_its_sentences_one_at_a_time(seed: int, beam_size: int, alpha: float) -> None:
    model = wild_model(seed)
    rows = sentences(model, 4)
    for strategy in (greedy, partial(beam_search, beam_size=beam_size, alpha=alpha)):
        alone = [decode(model, torch.tensor([row]), strategy)[0] for row in rows]
        assert_same(decode(model, batch_of(model, rows), strategy), alone)


# --- The model's own output ------------------------------------------------------------------


@few
@given(seeds)
def test_steps_carry_the_models_logits(seed: int) -> None:
    """Logits of steps, which pages show without hooks, equal those of the model."""
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 2))
    steps = list(Greedy()(model, source))
    start = source.new_full((2, 1), model.config.decoder_start_id)
    with torch.inference_mode():
        expected = model(source, torch.cat([start, steps[-1].tokens[:, 0, :-1]], dim=1))
    going = torch.ones(2, dtype=torch.bool)  # after its end a sentence is padding, which is hidden
    for position, step in enumerate(steps):
        found = step.logits[:, 0]
        torch.testing.assert_close(
            found[going], expected[:, position][going], rtol=0, atol=TOLERANCE
        )
        going = ~step.finished[:, 0]


@few
@given(seeds, beams, alphas)
def test_log_probabilities_are_the_models(seed: int, beam_size: int, alpha: float) -> None:
    """Every hypothesis of every step, recomputed by one teacher-forced pass."""
    model = wild_model(seed)
    rows = sentences(model, 2)
    for step in beam_search(model, batch_of(model, rows), beam_size=beam_size, alpha=alpha):
        beams = step.hypotheses(model.config.eos_id, [0, 1])
        for source, hypotheses in zip(rows, beams, strict=True):
            scores = [one.score for one in hypotheses]
            assert scores == sorted(scores, reverse=True)
            assert len({one.tokens for one in hypotheses}) == len(hypotheses)
            for one in hypotheses:
                assert one.finished == (one.tokens[-1] == model.config.eos_id)
                expected = log_probability(model, source, list(one.tokens))
                assert one.log_prob == pytest.approx(expected, rel=0, abs=TOLERANCE)
                assert one.score == pytest.approx(
                    one.log_prob / penalty(len(one.tokens), alpha), rel=0, abs=TOLERANCE
                )


@few
@given(seeds)
def test_greedy_takes_the_most_probable_token(seed: int) -> None:
    model = wild_model(seed)
    rows = sentences(model, 3)
    for source, one in zip(rows, decode(model, batch_of(model, rows)), strict=True):
        tokens = list(one.tokens)
        assert tokens == log_probabilities(model, source, tokens).argmax(-1).tolist()
        expected = log_probability(model, source, tokens)
        assert one.log_prob == pytest.approx(expected, rel=0, abs=TOLERANCE)
        assert one.finished == (tokens[-1] == model.config.eos_id)
        assert one.finished or len(tokens) == MAX_LENGTH


@few
@given(seeds, beams)
def test_parents_say_which_hypothesis_each_grew_from(seed: int, beam_size: int) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 2))
    before: DecodingStep | None = None
    for step in beam_search(model, source, beam_size=beam_size):
        assert step.parents.shape == step.total.shape == (2, beam_size)
        assert step.tokens.shape == (2, beam_size, step.position + 1)
        for sentence, k in product(range(2), range(beam_size)):
            parent = step.parents[sentence, k]
            if before is None or step.total[sentence, k] == -math.inf:
                continue
            assert torch.equal(step.tokens[sentence, k, :-1], before.tokens[sentence, parent])
            gained = step.total[sentence, k] - before.total[sentence, parent]
            token = step.tokens[sentence, k, -1]
            given_by_model = step.log_probs[sentence, parent, token]
            expected = 0.0 if before.finished[sentence, parent] else given_by_model.item()
            assert gained.item() == pytest.approx(expected, rel=0, abs=TOLERANCE)
        before = step


@few
@given(seeds, st.booleans(), st.booleans())
def test_attention_of_a_step_is_the_last_row_of_a_full_pass(
    seed: int, cached: bool, beam: bool
) -> None:
    model = wild_model(seed, num_decoder_layers=1 + seed % 3)
    rows = sentences(model, 2)
    source = batch_of(model, rows)
    strategy = partial(beam_search, beam_size=3) if beam else greedy
    for step in strategy(model, source, attention=True, cached=cached):
        assert step.cross_attention is not None
        assert step.decoder_attention is not None
        for sentence, k in product(range(2), range(step.tokens.size(1))):
            if step.total[sentence, k] == -math.inf:
                continue
            past = [model.config.decoder_start_id, *step.tokens[sentence, k, :-1].tolist()]
            with record(model) as trace:
                model(source[sentence : sentence + 1], torch.tensor([past]))
            for seen, full in (
                (step.cross_attention[sentence, k], trace.cross_attention[:, :, -1]),
                (step.decoder_attention[sentence, k], trace.decoder_attention[:, :, -1]),
            ):
                torch.testing.assert_close(seen, full, rtol=0, atol=TOLERANCE)


@few
@given(seeds, st.booleans(), st.booleans())
def test_looking_at_attention_changes_nothing(seed: int, cached: bool, beam: bool) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 2))
    strategy = partial(beam_search, beam_size=3) if beam else greedy
    looking, not_looking = (
        list(strategy(model, source, attention=attention, cached=cached))
        for attention in (True, False)
    )
    for one, other in zip(looking, not_looking, strict=True):
        assert torch.equal(one.log_probs, other.log_probs)
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.total, other.total)
        assert other.cross_attention is other.decoder_attention is None


@few
@given(seeds, st.booleans())
def test_after_the_end_there_is_only_padding(seed: int, beam: bool) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 4))
    *_, last = beam_search(model, source, beam_size=3) if beam else greedy(model, source)
    for sentence, k in product(range(4), range(last.tokens.size(1))):
        tokens = last.tokens[sentence, k].tolist()
        if last.total[sentence, k] > -math.inf and model.config.eos_id in tokens:
            after = tokens[tokens.index(model.config.eos_id) + 1 :]
            assert set(after) <= {model.config.pad_id}


@few
@given(seeds, st.integers(1, 12))
def test_candidates_are_sorted_and_their_probabilities_sum_to_one(seed: int, count: int) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 2))
    vocabulary = model.config.target_vocab_size
    for step in beam_search(model, source, beam_size=2):
        everything = step.candidates(vocabulary + 3, sentence=1)
        assert sorted(one.token for one in everything) == list(range(vocabulary))
        assert math.fsum(math.exp(one.log_prob) for one in everything) == pytest.approx(1.0)
        values = [one.log_prob for one in everything]
        assert values == sorted(values, reverse=True)
        assert step.candidates(count, sentence=1) == everything[:count]
        for one in everything:
            assert one.log_prob == step.log_probs[1, 0, one.token].item()


# --- Forced prefixes -------------------------------------------------------------------------


@few
@given(seeds, st.lists(st.sampled_from([0, 2, 3, 5, 6, 7]), max_size=MAX_LENGTH), st.booleans())
def test_a_forced_prefix_is_kept_and_the_rest_is_greedy(
    seed: int, prefix: list[int], cached: bool
) -> None:
    model = wild_model(seed)
    rows = sentences(model, 2)
    strategy = partial(greedy, prefix=prefix, cached=cached)
    for source, one in zip(rows, decode(model, batch_of(model, rows), strategy), strict=True):
        tokens = list(one.tokens)
        assert tokens[: len(prefix)] == prefix
        # Steps of the prefix have the model's log-probabilities, not 0.
        expected = log_probability(model, source, tokens)
        assert one.log_prob == pytest.approx(expected, rel=0, abs=TOLERANCE)
        best = log_probabilities(model, source, tokens).argmax(-1).tolist()
        assert tokens[len(prefix) :] == best[len(prefix) :]


@few
@given(seeds, st.integers(0, MAX_LENGTH))
def test_a_prefix_of_greedys_own_output_changes_nothing(seed: int, length: int) -> None:
    model = wild_model(seed)
    source = torch.tensor(sentences(model, 1))
    free = decode(model, source)
    forced = decode(model, source, partial(greedy, prefix=free[0].tokens[:length]))
    assert_same(free, forced)


# --- Limits ----------------------------------------------------------------------------------


@few
@given(seeds, st.one_of(st.none(), st.integers(-1, 30)), beams)
def test_outputs_are_as_long_as_asked_for_and_as_there_are_positions(
    seed: int, limit: int | None, beam_size: int
) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 2))
    most = output_limit(model, limit)
    assert 1 <= most <= MAX_LENGTH
    for strategy in (greedy, partial(beam_search, beam_size=beam_size)):
        steps = list(strategy(model, source, max_length=limit))
        assert [step.position for step in steps] == list(range(len(steps)))
        assert len(steps) <= most
        # It may stop before the limit only if a hypothesis of each sentence ended.
        assert len(steps) == most or steps[-1].finished.any(dim=1).all()


@given(st.integers(1, 200), st.floats(0, 2))
def test_length_penalty_is_the_papers(length: int, alpha: float) -> None:
    assert length_penalty(length, alpha) == pytest.approx(penalty(length, alpha), rel=1e-12)
    assert length_penalty(1, alpha) == 1.0


@given(st.lists(st.lists(st.integers(1, 9), max_size=5), min_size=1, max_size=4))
def test_pad_makes_ragged_rows_square(rows: list[list[int]]) -> None:
    square = pad(rows, 0)
    assert square.shape == (len(rows), max(map(len, rows)))
    for row, padded in zip(rows, square.tolist(), strict=True):
        assert padded == row + [0] * (len(padded) - len(row))

"""Searches without steps come to what those with steps do, hypothesis for hypothesis."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.wild_models import (
    TOLERANCE,
    alphas,
    batch_of,
    beams,
    seeds,
    sentences,
    wild_model,
)
from transformer.config import SamplingConfig
from transformer.decoding.beam import Beam
from transformer.decoding.steps import Decoded, DecodingStep, Outcomes, Strategy, outcomes_of
from transformer.decoding.strategies import Greedy, Sampling
from transformer.errors import CheckpointError
from transformer.model import Transformer

pytestmark = pytest.mark.usefixtures("float64")
paddings = st.sampled_from(["allowed", "cut", "renormalised"])
counts = st.sampled_from([1, 2, 9])


def all_of(outcomes: Outcomes) -> dict[int, Decoded]:
    found: dict[int, Decoded] = {}
    for new in outcomes:
        assert not found.keys() & new.keys()
        found |= new
    return found


def assert_lean_is_plain(model: Transformer, strategy: Strategy, count: int) -> None:
    source = batch_of(model, sentences(model, count))
    with torch.inference_mode():
        plain = all_of(outcomes_of(replace(strategy, drop_done=True), model, source))
        lean = all_of(strategy.outcomes(model, source))
        quick = all_of(strategy.outcomes(model, source, margins=False))
    assert set(plain) == set(lean) == set(quick) == set(range(count))
    for number, expected in plain.items():
        for found in (lean[number], quick[number]):
            one, other = found.hypothesis, expected.hypothesis
            assert (one.tokens, one.finished) == (other.tokens, other.finished)
            assert one.log_prob == pytest.approx(other.log_prob, rel=0, abs=TOLERANCE)
            assert one.score == pytest.approx(other.score, rel=0, abs=TOLERANCE)
        assert quick[number].margin == math.inf
        if isinstance(strategy, Beam) and strategy.kind(model) == "paper" and count > 1:
            # With steps, a sentence that waits for others may meet a nearer rival.
            assert lean[number].margin >= expected.margin - TOLERANCE
        else:
            assert lean[number].margin == pytest.approx(expected.margin, rel=0, abs=TOLERANCE)


@settings(max_examples=30)
@given(
    *(seeds, counts, paddings, st.lists(st.sampled_from([0, 2, 3, 5]), max_size=2), st.booleans()),
    st.sampled_from([None, 1, 4]),
)
def test_one_path(
    seed: int, count: int, padding: str, prefix: list[int], force: bool, most: int | None
) -> None:
    assume(not force or most is None or most > len(prefix))  # else <eos> is forced and forbidden
    model = wild_model(seed, pad_in_output=padding)
    greedy = Greedy(prefix=tuple(prefix), force_end=force, max_length=most)
    assert_lean_is_plain(model, greedy, count)
    alone = batch_of(model, sentences(model, 1))  # one sentence has a search of its own
    with torch.inference_mode():
        [expected] = all_of(outcomes_of(greedy, model, alone)).values()
    [found] = greedy.outputs(model, alone)
    wanted = expected.hypothesis
    assert (found.tokens, found.finished) == (wanted.tokens, wanted.finished)
    assert found.log_prob == pytest.approx(wanted.log_prob, rel=0, abs=TOLERANCE)
    sampling = SamplingConfig(temperature=1.5, seed=seed % 1000)
    assert_lean_is_plain(model, Sampling(sampling=sampling, prefix=tuple(prefix)), count)


@settings(max_examples=40)
@given(seeds, counts, paddings, beams, alphas, st.booleans(), st.sampled_from([None, 1, 4]))
def test_the_papers_beam(
    seed: int, count: int, padding: str, size: int, alpha: float, force: bool, most: int | None
) -> None:
    model = wild_model(seed, pad_in_output=padding)
    assert_lean_is_plain(model, Beam(size, alpha, force_end=force, max_length=most), count)


@settings(max_examples=40)
@given(
    *(seeds, counts, paddings, beams, alphas, st.booleans(), st.sampled_from([None, 1, 4])),
    st.sampled_from(["estimate", "never", "full"]),
)
def test_the_beam_with_a_pool(
    seed: int,
    count: int,
    padding: str,
    size: int,
    alpha: float,
    force: bool,
    most: int | None,
    stopping: str,
) -> None:
    model = wild_model(seed, pad_in_output=padding, early_stopping=stopping)
    beam = Beam(size, alpha, penalty="length", force_end=force, max_length=most)
    assert_lean_is_plain(model, beam, count)


@pytest.mark.parametrize("search", [Greedy(), Sampling(), Beam(3), Beam(3, penalty="length")])
def test_no_step_is_made_where_nobody_looks(
    search: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a step was made")

    model = wild_model(1)
    source = batch_of(model, sentences(model, 4))
    expected = search.outputs(model, source)
    monkeypatch.setattr(DecodingStep, "__init__", refuse)
    assert search.outputs(model, source) == expected
    with pytest.raises(AssertionError, match="a step was made"):
        next(iter(search(model, source)))


@pytest.mark.parametrize("search", [Greedy(), Beam(3), Beam(3, penalty="length")])
def test_numbers_that_overflow_are_named(search: Strategy) -> None:
    model = wild_model(1)
    with torch.no_grad():
        model.output.weight.mul_(1e308)
    for count in (1, 3):
        with pytest.raises(CheckpointError, match="overflow"):
            search.outputs(model, batch_of(model, sentences(model, count)))


def test_the_last_few_are_left_out() -> None:
    model = wild_model(3)
    source = batch_of(model, sentences(model, 12))
    for search in (Greedy(), Beam(2), Beam(2, penalty="length")):
        whole = all_of(search.outcomes(model, source))
        cut = all_of(search.outcomes(model, source, few=4))
        assert 8 <= len(cut) <= 12
        assert all(whole[number].hypothesis == one.hypothesis for number, one in cut.items())

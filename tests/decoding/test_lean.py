"""Lean searches return the same hypotheses as the searches that yield steps."""

import math
from dataclasses import replace
from itertools import pairwise

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
from transformer.decoding.steps import (
    Decoded,
    DecodingStep,
    Hypothesis,
    Outcomes,
    Strategy,
    length_penalty,
    outputs_of,
)
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


def nearest(model: Transformer, strategy: Strategy, steps: list[DecodingStep]) -> float:
    """The margin of one sentence's search: its smallest deciding gap, computed from the steps."""
    if isinstance(strategy, Beam):
        return _nearest_beam(model, strategy, steps)
    assert isinstance(strategy, Greedy)
    best = [step.next_log_probs[0, 0].topk(2).values for step in steps[len(strategy.prefix) :]]
    return min((float(first - second) for first, second in best), default=math.inf)


def _nearest_beam(model: Transformer, beam: Beam, steps: list[DecodingStep]) -> float:
    kind, limit, size, alpha = beam.kind(model), beam.limit(model), beam.size, beam.alpha
    stopping = model.config.early_stopping
    nears = [math.inf]
    before = [(0.0, 0.0, False)] + [(-math.inf, -math.inf, False)] * (size - 1)
    for step in steps:
        length = step.position + 1
        slots = range(size) if step.growing is None else step.growing[0][0].tolist()
        rivals: list[float] = []
        for slot, log_probs in zip(slots, step.next_log_probs[0], strict=True):
            total, score, finished = before[slot % len(before)]
            grown = (total + log_probs) / length_penalty(length, alpha, kind)
            rivals += [score] if finished else grown.tolist()
        rivals = sorted((one for one in rivals if one > -math.inf), reverse=True)
        decided = rivals[size - 1 : (2 * size if kind == "length" else size) + 1]
        nears += (higher - lower for higher, lower in pairwise(decided))
        parts = (part[0].tolist() for part in (step.total, step.scores, step.finished))
        before = list(zip(*parts, strict=True))
        ended = sorted((score for _, score, finished in before if finished), reverse=True)
        grows = max((total for total, _, finished in before if not finished), default=-math.inf)
        if kind == "paper":
            hope = grows / length_penalty(limit, alpha)
            nears += [ended[0] - hope] if ended and ended[0] >= hope else []
        elif stopping != "full" and length < limit and len(ended) >= size:
            longest = limit if stopping == "never" and alpha > 0 else length
            hope = grows / length_penalty(longest, alpha, kind)
            nears.append(abs(hope - ended[size - 1]))
    one_kind = ended or [score for total, score, _ in before if total > -math.inf]
    nears += (higher - lower for higher, lower in pairwise(one_kind[:2]))
    return min(nears)


def assert_alike(found: Hypothesis, expected: Hypothesis) -> None:
    assert (found.tokens, found.finished) == (expected.tokens, expected.finished)
    assert found.log_prob == pytest.approx(expected.log_prob, rel=0, abs=TOLERANCE)
    assert found.score == pytest.approx(expected.score, rel=0, abs=TOLERANCE)


def assert_lean_is_plain(model: Transformer, strategy: Strategy, count: int) -> None:
    rows = sentences(model, count)
    source = batch_of(model, rows)
    plain = outputs_of(strategy, model, source)
    lean = all_of(strategy.outcomes(model, source))
    quick = all_of(strategy.outcomes(model, source, margins=False))
    slow = all_of(replace(strategy, cached=False).outcomes(model, source))
    assert set(lean) == set(quick) == set(slow) == set(range(count))
    for number, expected in enumerate(plain):
        for found in (lean[number], quick[number], slow[number]):
            assert_alike(found.hypothesis, expected)
        assert quick[number].margin == math.inf
        assert slow[number].margin == pytest.approx(lean[number].margin, rel=0, abs=TOLERANCE)
    if not isinstance(strategy, Sampling):  # which has no margin
        steps = list(strategy(model, batch_of(model, rows[:1])))
        near = nearest(model, strategy, steps)
        assert lean[0].margin == pytest.approx(near, rel=0, abs=TOLERANCE)


@settings(max_examples=30)
@given(
    *(seeds, counts, paddings, st.lists(st.sampled_from([0, 2, 3, 5]), max_size=2), st.booleans()),
    st.sampled_from([None, 1, 4]),
)
def test_one_hypothesis_a_sentence(
    seed: int, count: int, padding: str, prefix: list[int], force: bool, most: int | None
) -> None:
    assume(not force or most is None or most > len(prefix))  # else <eos> is forced and forbidden
    model = wild_model(seed, pad_in_output=padding)
    greedy = Greedy(prefix=tuple(prefix), force_end=force, max_length=most)
    assert_lean_is_plain(model, greedy, count)
    alone = batch_of(model, sentences(model, 1))  # one sentence takes another code path
    [found] = greedy.outputs(model, alone)
    assert_alike(found, outputs_of(greedy, model, alone)[0])
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
        cut = all_of(search.outcomes(model, source, stop_at=4))
        assert 8 <= len(cut) <= 12
        assert all(whole[number].hypothesis == one.hypothesis for number, one in cut.items())

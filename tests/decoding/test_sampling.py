"""Temperature, top-k, top-p and sampling, compared with simple code and expected counts."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.wild_models import batch_of, few, log_probability, seeds, sentences, wild_model
from transformer.config import SamplingConfig
from transformer.decoding.next_token import draw, next_token
from transformer.decoding.strategies import greedy, sample
from transformer.errors import ConfigError

pytestmark = pytest.mark.usefixtures("float64")
DRAWS = 20_000

samplings = st.builds(
    SamplingConfig,
    temperature=st.floats(0.05, 20),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.01, 1),
)
some_logits = st.lists(
    st.floats(-30, 30, allow_subnormal=False).map(lambda value: round(value, 1)),
    min_size=1,
    max_size=9,
)


def plain_probabilities(
    logits: list[float], temperature: float, top_k: int, top_p: float
) -> NDArray[np.float64]:
    """Probabilities after temperature, top-k and top-p, computed token by token."""
    shares = [math.exp((value - max(logits)) / temperature) for value in logits]
    ranked = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    inside = ranked[: top_k or None]
    everything = sum(shares[token] for token in inside)
    reached, nucleus = 0.0, []
    for token in inside:
        nucleus.append(token)
        reached += shares[token] / everything
        if reached >= top_p and top_p < 1:
            break
    found = np.zeros(len(logits))
    for token in nucleus:
        found[token] = shares[token] / sum(shares[other] for other in nucleus)
    return found


@given(some_logits, samplings)
def test_probabilities_are_those_of_a_plain_reimplementation(
    logits: list[float], sampling: SamplingConfig
) -> None:
    found = next_token(torch.tensor(logits), sampling)
    # The same values as next_token gets, in the default precision.
    exact = torch.tensor(logits).tolist()
    expected = plain_probabilities(exact, sampling.temperature, sampling.top_k, sampling.top_p)
    if np.count_nonzero(expected) != found.kept.sum():
        # Rounding decides, as top_p is the exact border between two tokens.
        assert ((found.before - sampling.top_p).abs() < 1e-9).any()
        return
    np.testing.assert_allclose(found.probabilities.numpy(), expected, rtol=0, atol=1e-12)
    assert found.probabilities.sum() == pytest.approx(1)


def test_temperature_one_without_a_cut_is_the_models_own() -> None:
    logits = torch.randn(4, 3, 11)
    found = next_token(logits)
    torch.testing.assert_close(found.probabilities, logits.double().softmax(-1))
    assert found.kept.all()


@pytest.mark.parametrize("top_k", [0, 7])
def test_with_p_of_one_rounding_cuts_nothing(top_k: int) -> None:
    """The likeliest tokens alone sum to 1 in 64 bits, yet the others must stay possible."""
    found = next_token(20 * torch.randn(50, 40), SamplingConfig(temperature=0.3, top_k=top_k))
    assert (found.before >= 1).any()
    assert found.kept.equal(found.in_top_k)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_sampling_matches_its_distribution(temperature: float) -> None:
    """Chi-square over 20,000 draws of the first token, with top-k and top-p."""
    model = wild_model(7)
    with torch.no_grad():  # so alike that several tokens pass both cuts
        model.output.weight *= 0.2
    source = torch.tensor(sentences(model, 1))
    top_k, top_p = 6, 0.93
    [step] = sample(
        model,
        source.expand(DRAWS, -1),
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=11,
        max_length=1,
    )
    past = torch.tensor([[model.config.decoder_start_id]])
    with torch.inference_mode():
        logits = model(source, past)[0, 0].tolist()
    expected = DRAWS * plain_probabilities(logits, temperature, top_k, top_p)
    seen = np.bincount(step.tokens[:, 0, 0].numpy(), minlength=len(expected))
    inside = expected > 0
    assert 3 <= inside.sum() < len(expected)  # several to draw from, and some cut
    assert seen[~inside].sum() == 0
    chi_square = ((seen[inside] - expected[inside]) ** 2 / expected[inside]).sum()
    # 99.9 % of true samples stay below, for 2 to 7 degrees of freedom.
    limit = {2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32}
    assert chi_square < limit[inside.sum() - 1]


@given(some_logits, samplings, st.floats(0, 1, exclude_max=True))
def test_a_number_draws_the_token_whose_span_it_falls_on(
    logits: list[float], sampling: SamplingConfig, number: float
) -> None:
    found = next_token(torch.tensor(logits), sampling)
    token = int(draw(found, torch.tensor(number, dtype=torch.float64)))
    assert found.kept[token]
    ahead = found.probabilities[found.rank < found.rank[token]].sum().item()
    assert ahead - 1e-12 <= number <= ahead + found.probabilities[token].item() + 1e-12


@few
@given(seeds)
def test_the_same_seed_writes_the_same_and_top_1_is_greedy(seed: int) -> None:
    model = wild_model(seed)
    source = batch_of(model, sentences(model, 3))
    first, again, slow = (
        list(sample(model, source, temperature=1.5, seed=seed, cached=cached))
        for cached in (True, True, False)
    )
    assert torch.equal(first[-1].tokens, again[-1].tokens)
    assert torch.equal(first[-1].tokens, slow[-1].tokens)
    best = list(greedy(model, source))
    for single in (
        sample(model, source, seed=seed, top_k=1),
        sample(model, source, seed=seed, top_p=1e-9),
        sample(model, source, seed=seed, temperature=0.01),
    ):
        [*_, last] = single
        assert torch.equal(last.tokens, best[-1].tokens)


@few
@given(seeds)
def test_steps_of_a_sample_carry_the_models_log_probabilities(seed: int) -> None:
    model = wild_model(seed)
    rows = sentences(model, 2)
    *_, step = sample(model, batch_of(model, rows), temperature=2.0, top_k=5, seed=seed)
    for source, [found] in zip(rows, step.hypotheses(model.config.eos_id, [0, 1]), strict=True):
        expected = log_probability(model, source, list(found.tokens))
        assert found.log_prob == pytest.approx(expected, rel=0, abs=1e-10)


@few
@given(seeds, st.integers(0, 5), st.integers(0, 7))
def test_a_branch_taken_and_walked_back_leaves_the_original_bit_for_bit(
    seed: int, position: int, token: int
) -> None:
    model = wild_model(seed)
    source = torch.tensor(sentences(model, 1))
    for search in (greedy, sample):
        before = list(search(model, source, attention=True))
        written = before[-1].tokens[0, 0].tolist()
        prefix = [*written[:position], token]
        branch = list(search(model, source, prefix=prefix, attention=True))
        after = list(search(model, source, attention=True))
        # Nothing of the branch is left in the model ...
        for one, other in zip(before, after, strict=True):
            tensors = {name for name, value in vars(one).items() if isinstance(value, torch.Tensor)}
            assert {"logits", "next_log_probs", "tokens", "total", "decoder_attention"} <= tensors
            for name in tensors:
                assert torch.equal(getattr(one, name), getattr(other, name))
        # ... and before its own token, the branch equals the original.
        shared = min(position, len(written))
        for one, other in zip(before[:shared], branch, strict=False):
            assert torch.equal(one.log_probs, other.log_probs)
            assert one.cross_attention is not None
            assert other.cross_attention is not None
            assert torch.equal(one.cross_attention, other.cross_attention)


@few
@given(seeds, st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_a_forced_tokens_probability_is_the_models_for_that_prefix(
    seed: int, prefix: list[int]
) -> None:
    model = wild_model(seed)
    config = model.config
    # Padding is hidden from attention, and nothing comes after an end.
    prefix = [token for token in prefix if token not in (config.pad_id, config.eos_id)]
    [source] = sentences(model, 1)
    steps = list(greedy(model, torch.tensor([source]), prefix=prefix))
    totals = [0.0, *(step.total.item() for step in steps)]
    for length, (before, after) in enumerate(pairwise(totals[: len(prefix) + 1]), start=1):
        given = log_probability(model, source, prefix[:length])
        known = log_probability(model, source, prefix[: length - 1]) if length > 1 else 0.0
        assert after - before == pytest.approx(given - known, rel=0, abs=1e-10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0),
        ("temperature", -1.0),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "hot"),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("seed", -1),
        ("seed", 2**70),
    ],
)
def test_a_bad_setting_is_named_before_anything_is_computed(field: str, value: Any) -> None:
    model = wild_model(1)
    with pytest.raises(ConfigError, match=field):
        sample(model, torch.tensor([[5]]), **{field: value})

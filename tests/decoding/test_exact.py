"""Exact search against the whole list of outputs."""

from itertools import product

import pytest
import torch

from tests.support.wild_models import log_probability, wild_model
from transformer.decoding.exact import exact_search
from transformer.decoding.strategies import Greedy, decode

LENGTH = 4


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_no_output_is_more_probable_than_the_one_found(seed: int) -> None:
    model = wild_model(seed, pad_in_output="allowed")
    source = torch.tensor([[5, 6, 3, 1]])
    found = exact_search(model, source, LENGTH, most_expansions=10**5)
    end = model.config.eos_id
    others = [token for token in range(model.config.target_vocab_size) if token != end]
    every = [[*start, end] for length in range(LENGTH) for start in product(others, repeat=length)]
    best = max(every, key=lambda tokens: log_probability(model, source[0].tolist(), tokens))
    assert found.proven
    assert list(found.tokens) == best
    assert found.log_prob == pytest.approx(
        log_probability(model, source[0].tolist(), best), abs=1e-4
    )
    assert found.empty == pytest.approx(log_probability(model, source[0].tolist(), [end]), abs=1e-4)
    greedy = decode(model, source, Greedy(max_length=LENGTH))[0]
    assert not greedy.finished or found.log_prob >= greedy.log_prob - 1e-5


def test_a_search_that_gives_up_says_so() -> None:
    model = wild_model(0)
    found = exact_search(model, torch.tensor([[5, 6, 3, 1]]), LENGTH, most_expansions=1)
    assert not found.proven
    assert found.expansions == 1

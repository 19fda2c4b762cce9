"""Exact search compared with the list of all outputs."""

import pytest
import torch

from tests.support.wild_models import next_log_probabilities, wild_model
from transformer.decoding.exact import exact_search
from transformer.decoding.strategies import Greedy, decode

LENGTH = 4


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_no_output_is_more_probable_than_the_one_found(seed: int) -> None:
    model = wild_model(seed, pad_in_output="allowed")
    source = torch.tensor([[5, 6, 3, 1]])
    found = exact_search(model, source, LENGTH, most_expansions=10**5)
    end = model.config.eos_id
    scores: dict[tuple[int, ...], float] = {}
    begun: dict[tuple[int, ...], float] = {(): 0.0}
    for _ in range(LENGTH):
        rows = next_log_probabilities(model, source[0].tolist(), list(begun))
        grown = {
            (*tokens, token): total + gained
            for (tokens, total), row in zip(begun.items(), rows, strict=True)
            for token, gained in enumerate(row)
        }
        scores |= {tokens: total for tokens, total in grown.items() if tokens[-1] == end}
        begun = {tokens: total for tokens, total in grown.items() if tokens[-1] != end}
    best = max(scores, key=scores.__getitem__)
    assert found.proven
    assert tuple(found.tokens) == best
    assert found.log_prob == pytest.approx(scores[best], abs=1e-4)
    assert found.empty == pytest.approx(scores[end,], abs=1e-4)
    greedy = decode(model, source, Greedy(max_length=LENGTH))[0]
    assert not greedy.finished or found.log_prob >= greedy.log_prob - 1e-5


def test_a_search_that_gives_up_says_so() -> None:
    model = wild_model(0)
    found = exact_search(model, torch.tensor([[5, 6, 3, 1]]), LENGTH, most_expansions=1)
    assert not found.proven
    assert found.expansions == 1

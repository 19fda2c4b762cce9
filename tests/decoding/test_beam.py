"""Beam search compared with all possible outputs and with a simple implementation."""

import math
from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.wild_models import (
    MAX_LENGTH,
    TOLERANCE,
    batch_of,
    beams,
    next_log_probabilities,
    penalty,
    seeds,
    sentences,
    wild_model,
)
from transformer.decoding.strategies import beam_search, decode
from transformer.model import Transformer

pytestmark = pytest.mark.usefixtures("float64")


def every_output(
    model: Transformer, source: Tensor, longest: int, alpha: float
) -> dict[tuple[int, ...], float]:
    """All finished outputs up to a length, with their scores, by enumeration."""
    eos, size = model.config.eos_id, model.config.target_vocab_size
    written = torch.tensor(list(product(range(size), repeat=longest)))
    start = written.new_full((len(written), 1), model.config.decoder_start_id)
    past = torch.cat([start, written[:, :-1]], dim=1)
    with torch.inference_mode():
        log_probs = model(source.expand(len(written), -1), past).log_softmax(-1)
    steps = log_probs.gather(2, written[..., None])[..., 0].tolist()
    scores = {}
    for tokens, gained in zip(written.tolist(), steps, strict=True):
        if eos in tokens:
            length = tokens.index(eos) + 1
            scores[tuple(tokens[:length])] = math.fsum(gained[:length]) / penalty(length, alpha)
    return scores


@pytest.mark.parametrize("seed", range(24))
def test_a_beam_that_holds_everything_finds_the_best_of_all_outputs(seed: int) -> None:
    """72 cases: 24 models with 3 sources each, 5 tokens, outputs of up to 4 tokens."""
    vocabulary, longest, alpha = 5, 4, (0.0, 0.6, 1.0, 4.0)[seed % 4]
    model = wild_model(seed, target_vocab_size=vocabulary, num_decoder_layers=1)
    # Make the end token less likely: outputs that all end at once need no search.
    with torch.no_grad():
        model.output.bias[model.config.eos_id] -= 1.0 + seed % 3
    rows = sentences(model, 3)
    # Room for all finished outputs of any length and all unfinished ones.
    everything = sum(4**n for n in range(longest)) + 4**longest
    search = partial(beam_search, beam_size=everything, alpha=alpha, max_length=longest)
    *_, last = search(model, batch_of(model, rows))
    answers = decode(model, batch_of(model, rows), search)
    beams = last.hypotheses(model.config.eos_id, range(len(rows)))
    for source, found, beam in zip(rows, answers, beams, strict=True):
        scores = every_output(model, torch.tensor([source]), longest, alpha)
        best = max(scores, key=scores.__getitem__)
        ended = [one for one in beam if one.finished]
        assert len({one.tokens for one in ended}) == len(ended)
        for one in ended:
            assert one.score == pytest.approx(scores[one.tokens], rel=0, abs=TOLERANCE)
        assert found.tokens == best
        assert found.score == pytest.approx(scores[best], rel=0, abs=TOLERANCE)
        assert found.finished


def plain_beam_search(
    model: Transformer, source: list[int], beam_size: int, alpha: float
) -> tuple[tuple[int, ...], float]:
    """Tokens and score from a simple beam search: one sentence, lists, no early stopping."""
    eos = model.config.eos_id
    beam: list[tuple[tuple[int, ...], float]] = [((), 0.0)]

    def ended(tokens: tuple[int, ...]) -> bool:
        return tokens[-1:] == (eos,)

    def score(one: tuple[tuple[int, ...], float]) -> float:
        return one[1] / penalty(len(one[0]), alpha)

    for _ in range(MAX_LENGTH):
        grown = [one for one in beam if ended(one[0])]
        growing = [one for one in beam if not ended(one[0])]
        if not growing:
            break
        following = next_log_probabilities(model, source, [tokens for tokens, _ in growing])
        for (tokens, total), row in zip(growing, following, strict=True):
            grown += [((*tokens, token), total + p) for token, p in enumerate(row)]
        beam = sorted(grown, key=score, reverse=True)[:beam_size]
    best = max(beam, key=lambda one: (ended(one[0]), score(one)))
    return best[0], score(best)


def assert_plain(model: Transformer, beam_size: int, alpha: float) -> None:
    rows = sentences(model, 3)
    strategy = partial(beam_search, beam_size=beam_size, alpha=alpha)
    for source, found in zip(rows, decode(model, batch_of(model, rows), strategy), strict=True):
        tokens, score = plain_beam_search(model, source, beam_size, alpha)
        assert found.tokens == tokens
        assert found.score == pytest.approx(score, rel=0, abs=TOLERANCE)


@settings(max_examples=25)
@given(seeds, beams, st.sampled_from([0.0, 0.6, 1.0]))
def test_beam_search_is_the_plain_one(seed: int, beam_size: int, alpha: float) -> None:
    """Search of a batch equals the simple one, even if sentences end at different steps."""
    assert_plain(wild_model(seed), beam_size, alpha)


@pytest.mark.parametrize("seed", range(20))
def test_stopping_early_misses_no_late_overtaker(seed: int) -> None:
    """With α = 4, an unfinished output can still overtake a finished one."""
    assert_plain(wild_model(seed), beam_size=5, alpha=4.0)

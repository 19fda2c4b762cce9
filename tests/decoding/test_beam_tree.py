"""The beam tree compared with a simple search that records what it drops."""

from functools import cache, partial

import pytest
import torch

from tests.support.wild_models import (
    MAX_LENGTH,
    TOLERANCE,
    log_probabilities,
    log_probability,
    next_log_probabilities,
    penalty,
    sentences,
    wild_model,
)
from transformer.decoding.beam import Beam
from transformer.decoding.beam_tree import BeamTree, beam_tree
from transformer.decoding.strategies import beam_search, decode
from transformer.model import Transformer

Tokens = tuple[int, ...]
CASES = [(seed, 1 + seed % 5, (0.0, 0.6, 1.0, 4.0)[seed % 4]) for seed in range(20)]
every_case = pytest.mark.parametrize(("seed", "beam_size", "alpha"), CASES)

pytestmark = pytest.mark.usefixtures("float64")


@cache
def searched(seed: int, beam_size: int, alpha: float) -> tuple[Transformer, list[int], BeamTree]:
    model = wild_model(seed)
    [source] = sentences(model, 1)
    tree = beam_tree(model, torch.tensor([source]), Beam(beam_size, alpha))
    return model, source, tree


@every_case
def test_the_tree_is_that_of_the_search(seed: int, beam_size: int, alpha: float) -> None:
    model, source, tree = searched(seed, beam_size, alpha)
    search = partial(beam_search, beam_size=beam_size, alpha=alpha)
    steps = list(search(model, torch.tensor([source])))
    assert len(tree.beams) == len(steps)
    for step, beam in zip(steps, tree.beams, strict=True):
        [kept] = step.hypotheses(model.config.eos_id, [0])
        assert [tuple(tree.tokens(node)) for node in beam] == [one.tokens for one in kept]
        for node, one in zip(beam, kept, strict=True):
            assert tree.nodes[node].score == one.score
            assert tree.nodes[node].finished == one.finished
    [answer] = decode(model, torch.tensor([source]), search)
    assert tuple(tree.tokens(tree.answer)) == answer.tokens
    for place, grown in enumerate(tree.nodes):
        assert grown.total == pytest.approx(
            log_probability(model, source, tree.tokens(place)), rel=0, abs=TOLERANCE
        )
        before = 0.0 if grown.parent is None else tree.nodes[grown.parent].total
        assert grown.log_prob == pytest.approx(grown.total - before, rel=0, abs=TOLERANCE)


def plainly_dropped(
    model: Transformer, source: list[int], beam_size: int, alpha: float, steps: int
) -> dict[Tokens, int]:
    """The hypotheses that a simple beam search drops, each with the step of its drop."""
    eos = model.config.eos_id
    beam: list[tuple[Tokens, float]] = [((), 0.0)]
    dropped: dict[Tokens, int] = {}
    for step in range(steps):
        grown: list[tuple[Tokens, float, Tokens]] = []
        growing = [(tokens, total) for tokens, total in beam if tokens[-1:] != (eos,)]
        grown += [(tokens, total, tokens) for tokens, total in beam if tokens[-1:] == (eos,)]
        if growing:
            following = next_log_probabilities(model, source, [tokens for tokens, _ in growing])
            for (tokens, total), row in zip(growing, following, strict=True):
                grown += [((*tokens, i), total + p, tokens) for i, p in enumerate(row)]
        grown.sort(key=lambda one: one[1] / penalty(len(one[0]), alpha), reverse=True)
        parents = {parent for _, _, parent in grown[:beam_size]}
        dropped |= {tokens: step for tokens, _ in beam if tokens not in parents}
        beam = [(tokens, total) for tokens, total, _ in grown[:beam_size]]
    return dropped


@every_case
def test_what_was_dropped_is_named_with_the_step(seed: int, beam_size: int, alpha: float) -> None:
    model, source, tree = searched(seed, beam_size, alpha)
    dropped = {
        tuple(tree.tokens(node)): end.position
        for node, end in tree.ends.items()
        if end.kind == "dropped"
    }
    assert dropped == plainly_dropped(model, source, beam_size, alpha, len(tree.beams))


@every_case
def test_every_end_has_a_reason_that_holds(seed: int, beam_size: int, alpha: float) -> None:
    model, source, tree = searched(seed, beam_size, alpha)
    parents = {node.parent for node in tree.nodes}
    assert set(tree.ends) == {place for place in range(len(tree.nodes)) if place not in parents}
    assert [node for node, end in tree.ends.items() if end.kind == "answer"] == [tree.answer]
    for place, end in tree.ends.items():
        if end.against is None:
            assert end.kind == "answer"
            continue
        tokens, rival = tree.tokens(place), tree.nodes[end.against]
        if end.kind == "dropped":
            assert end.against == tree.beams[end.position][-1]
            assert end.score <= rival.score
            if end.token is not None:
                best = log_probabilities(model, source, [*tokens, 0])[-1]
                assert end.token == int(best.argmax())
                tokens = [*tokens, end.token]
            offered = log_probability(model, source, tokens) / penalty(len(tokens), alpha)
            assert end.score == pytest.approx(offered, rel=0, abs=TOLERANCE)
            continue
        assert end.against == tree.answer
        if end.kind == "outscored":
            assert tree.nodes[place].finished
            assert end.score == tree.nodes[place].score <= rival.score
        elif rival.finished and len(tree.beams) < MAX_LENGTH:
            # The search was right to stop: even tokens of probability 1 would not have won.
            assert end.score <= rival.score


def test_the_cases_show_every_kind_of_end() -> None:
    kinds = {end.kind for case in CASES for end in searched(*case)[2].ends.values()}
    assert kinds == {"answer", "outscored", "dropped", "stopped"}

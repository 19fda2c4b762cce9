"""Scores find the pattern that a map was built with, and sentences claim only what they show."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from transformer.analysis.heads import KINDS, Head, all_heads
from transformer.analysis.patterns import HeadScores, ideal_places, score_heads
from transformer.analysis.rollout import rollout
from transformer.config import TransformerConfig

EOS = "<eos>"


def one(
    kind: str, weights: np.ndarray, queries: list[str], keys: list[str], **options: Any
) -> HeadScores:
    return score_heads(kind, weights[None, None].astype("f4"), queries, keys, **options)[0]


def looking(rows: list[int], keys: int) -> np.ndarray:
    """A map whose every row looks at one key."""
    return np.eye(keys)[rows]


LETTERS = [*"abcda", EOS]


@pytest.mark.parametrize(
    ("kind", "rows", "pattern"),
    [
        ("encoder", [0, 0, 1, 2, 3, 4], "previous"),
        ("encoder", [1, 2, 3, 4, 5, 5], "next"),
        ("encoder", [0, 1, 2, 3, 4, 5], "same"),
        ("encoder", [0, 0, 0, 0, 0, 0], "first"),
        ("encoder", [5, 5, 5, 5, 5, 5], "last"),
        ("encoder", [4, 3, 2, 1, 0, 5], "anti-diagonal"),
        ("encoder", [4, 1, 2, 3, 0, 5], "content"),
        ("cross", [0, 1, 2, 3, 4, 5], "diagonal"),
        ("cross", [4, 3, 2, 1, 0, 5], "anti-diagonal"),
        ("cross", [4, 1, 2, 3, 0, 5], "content"),
        ("decoder", [0, 0, 1, 2, 3, 4], "previous"),
        ("decoder", [0, 1, 2, 3, 4, 5], "same"),
    ],
)
def test_a_map_made_for_a_pattern_scores_one(kind: str, rows: list[int], pattern: str) -> None:
    scores = one(kind, looking(rows, 6), LETTERS, LETTERS, causal=kind == "decoder")
    assert scores.patterns[pattern] == 1
    assert pattern in scores.fitting
    assert scores.entropy == 0
    assert scores.confidence == 1
    assert 0 < scores.chance[pattern] < 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_even_spread_scores_chance_everywhere(kind: str) -> None:
    causal = kind == "decoder"
    even = np.tri(6) if causal else np.ones((6, 6))
    even /= even.sum(axis=1, keepdims=True)
    scores = one(kind, even, LETTERS, LETTERS, causal=causal)
    assert scores.uniform == pytest.approx(1)
    for name, share in scores.patterns.items():
        assert share == pytest.approx(scores.chance[name], abs=1e-6), name
    assert scores.label.startswith("spread evenly")
    if not causal:
        assert scores.entropy == pytest.approx(np.log2(6))


def test_every_head_is_scored_for_itself() -> None:
    weights = np.stack([looking([0] * 6, 6), looking([0, 0, 1, 2, 3, 4], 6)])
    scores = score_heads("encoder", weights[None].astype("f4"), LETTERS, LETTERS)
    assert [s.head for s in scores] == [Head("encoder", 0, 0), Head("encoder", 0, 1)]
    assert [s.fitting[0] for s in scores] == ["first", "previous"]


@pytest.mark.parametrize(
    ("task", "source", "written", "places"),
    [
        ("reverse", "abc", "cba", [[2], [1], [0], []]),
        ("copy", "abc", "abc", [[0], [1], [2], []]),
        ("sort", "bab", "abb", [[1], [0, 2], [0, 2], []]),
        ("addition", "28+7", "35", [[0], [1, 3], []]),
        ("addition-reversed", "28+7", "53", [[1, 3], [0], []]),
        (
            "dates",
            "8. März 2021",
            "2021-03-08",
            [[8], [9], [10], [11], [], [3, 4, 5, 6], [3, 4, 5, 6], [], [0], [0], []],
        ),
        (
            "dates",
            "28.03.2021",
            "2021-03-28",
            [[6], [7], [8], [9], [], [3], [4], [], [0], [1], []],
        ),
        ("numbers", "vierhundertzwei", "402", [[0, 1, 2, 3], [], [11, 12, 13, 14], []]),
        # For a wrong or longer output, the ideal places are still those of the right answer.
        ("reverse", "ab", "bazz", [[1], [0], [], [], []]),
    ],
)
def test_ideal_places_of_tasks(
    task: str, source: str, written: str, places: list[list[int]]
) -> None:
    found = ideal_places(task, [*source, EOS], [*written, EOS])
    assert found is not None
    assert [np.flatnonzero(row).tolist() for row in found[1]] == places


@pytest.mark.parametrize("task", ["pairs", "no such task"])
def test_no_ideal_is_made_up(task: str) -> None:
    assert ideal_places(task, ["a", EOS], ["b", EOS]) is None


def test_what_is_no_input_of_the_task_has_no_ideal() -> None:
    assert ideal_places("numbers", [*"zwei vierzig", EOS], [*"42", EOS]) is None
    assert ideal_places("dates", [*"30. Februar 2021", EOS], [*"2021", EOS]) is None
    assert ideal_places("addition", ["1", "2", EOS], ["3", EOS]) is None


def test_a_reversing_head_says_so_and_names_what_cannot_be_told_apart() -> None:
    source = [*"abcd", EOS]
    written = [*"dcba", EOS]
    ideal = ideal_places("reverse", source, written)
    scores = one("cross", looking([3, 2, 1, 0, 4], 5), written, source, ideal=ideal)
    assert scores.label == "reverses 100 %"
    assert "cannot be told apart" in scores.sentence()


@pytest.mark.parametrize("seed", range(20))
def test_a_sentence_claims_no_pattern_that_the_scores_do_not_show(seed: int) -> None:
    """For random heads, every percentage is a score, and a claim needs a clear score."""
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.full(6, 10.0 ** random.uniform(-2, 1)), size=6)
    scores = one("encoder", weights, LETTERS, LETTERS)
    sentence = scores.sentence()
    assert "On this input" in sentence
    assert "Only switching it off shows what the model does without it" in sentence
    known = [*scores.patterns.values(), *scores.chance.values(), scores.uniform, scores.confidence]
    for said in re.findall(r"(\d+) %", sentence):
        assert any(abs(100 * value - int(said)) <= 1 for value in known), sentence
    if " puts " in sentence:
        best = scores.fitting[0]
        assert scores.patterns[best] >= 0.6
        assert scores.patterns[best] >= 1.5 * scores.chance[best]
    else:
        assert not scores.fitting


def test_nearly_all_is_not_called_all() -> None:
    scores = one("encoder", looking([0] * 6, 6), LETTERS, LETTERS)
    nearly = replace(scores, patterns={"first": 0.9991}, chance={"first": 0.1})
    assert nearly.label == "first token 99 %"


def test_one_token_is_no_pattern_worth_a_claim() -> None:
    scores = one("encoder", np.ones((1, 1)), [EOS], [EOS])
    assert not scores.fitting  # chance explains all of it
    assert scores.sentence()


@pytest.mark.parametrize("name", ["", "cross", "cross.1", "other.0.0", "cross.-1.0", "cross.a.b"])
def test_a_name_that_is_no_head_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names no head"):
        Head.parse(name)


def test_all_heads_with_unequal_depths_keep_their_names() -> None:
    config = TransformerConfig(
        source_vocab_size=9,
        target_vocab_size=9,
        d_model=8,
        num_heads=2,
        num_encoder_layers=3,
        num_decoder_layers=1,
        d_ff=8,
    )
    heads = all_heads(config)
    assert len(heads) == len(set(heads)) == 2 * (3 + 1 + 1)
    assert [Head.parse(str(head)) for head in heads] == heads


def test_rollout_rows_are_shares_and_follow_a_single_road() -> None:
    random = np.random.default_rng(0)

    def maps(layers: int, queries: int, keys: int, causal: bool = False) -> np.ndarray:
        weights = random.random((layers, 2, queries, keys)) * (
            np.tri(queries, keys) if causal else 1
        )
        return (weights / weights.sum(axis=-1, keepdims=True)).astype("f4")

    found = rollout(maps(3, 5, 5), maps(2, 4, 4, causal=True), maps(2, 4, 5))
    assert np.allclose(found.encoder.sum(axis=1), 1)
    assert np.allclose(found.from_source.sum(axis=1) + found.from_target.sum(axis=1), 1)
    assert np.allclose(np.triu(found.from_target, 1), 0)  # nothing comes from the future
    # One layer in which every token attends to itself: an output comes half from each side.
    eye = np.eye(3, dtype="f4")[None, None]
    found = rollout(eye, eye, eye)
    assert np.allclose(found.from_source, np.eye(3) / 2)
    assert np.allclose(found.from_target, np.eye(3) / 2)


def test_a_pattern_of_one_row_names_no_head() -> None:
    """Digits written from words: only <eos> is the same token on both sides."""
    words, digits = [*"acht", "<eos>"], ["8", "0", "<eos>"]
    weights = looking([0, 1, 4], 5)
    scores = score_heads("cross", weights[None, None], digits, words)[0]
    assert "content" not in scores.patterns
    assert "equal to the one it writes" not in scores.sentence()

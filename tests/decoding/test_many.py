"""Many inputs at once: the same answers as one by one, less work, close answers marked."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.places import bundled_file
from tests.support.wild_models import (
    MAX_LENGTH,
    TOLERANCE,
    batch_of,
    few,
    log_probabilities,
    penalty,
    seeds,
    sentences,
    wild_model,
)
from transformer.checkpoint import Answer, Checkpoint
from transformer.checkpoint.answers import CLOSE
from transformer.config import TransformerConfig
from transformer.decoding import beam_search, greedy, lean_beam, many, strategies
from transformer.decoding.beam import Beam
from transformer.decoding.lean import DROPPED_FROM
from transformer.decoding.many import decode_many
from transformer.decoding.steps import Decoded, Strategy, normalised, pad
from transformer.decoding.strategies import GREEDY, Greedy, by_beam_size, decode
from transformer.model import Transformer

BEAMS = (1, 3)
LETTERS = "etaoinshrdlucmfwypvbgkqjxz" * 2
BUNDLED = bundled_file("reverse")

pytestmark = pytest.mark.usefixtures("float64")


def letters(checkpoint: Checkpoint, count: int) -> list[list[int]]:
    """``count`` encoded inputs of 1 to 20 letters; their outputs are as long."""
    return [checkpoint.encode(LETTERS[i % 26 :][: 1 + i % 20])[0].tolist() for i in range(count)]


def drained(model: Transformer, rows: list[list[int]], search: Strategy = GREEDY) -> list[Decoded]:
    """The result of each row, in order; also checks that rows come once and the share grows."""
    found: dict[int, Decoded] = {}
    share = 0.0
    for progress in decode_many(model, rows, search):
        assert share <= progress.share <= 1
        assert not found.keys() & progress.new.keys()
        share = progress.share
        found |= progress.new
    assert share == 1
    assert sorted(found) == list(range(len(rows)))
    return [found[number] for number in range(len(rows))]


@few
@given(seeds, st.sampled_from(BEAMS))
def test_many_are_decoded_as_one_at_a_time(seed: int, beam_size: int) -> None:
    model = wild_model(seed)
    rows = sentences(model, 12)
    for row, found in zip(rows, drained(model, rows, by_beam_size(beam_size, 0.6)), strict=True):
        source = batch_of(model, [row])
        if beam_size == 1:
            [alone] = decode(model, source)
        else:
            [alone] = decode(model, source, Beam(beam_size))
        assert found.hypothesis.tokens == alone.tokens
        assert found.hypothesis.finished == alone.finished
        assert found.hypothesis.log_prob == pytest.approx(alone.log_prob, rel=0, abs=TOLERANCE)


@pytest.mark.parametrize("beam_size", BEAMS)
def test_small_batches_whose_last_go_on_together_answer_the_same(
    bundled: Checkpoint, beam_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = letters(bundled, 60)
    whole = drained(bundled.model, rows, by_beam_size(beam_size, 0.6))
    sizes: list[int] = []

    def counted(rows: Sequence[Sequence[int]], pad_id: int) -> Tensor:
        sizes.append(len(rows))
        return pad(rows, pad_id)

    monkeypatch.setattr(many, "pad", counted)
    monkeypatch.setattr(many, "MOST_ROWS", {"cpu": 16})
    cut = drained(bundled.model, rows, by_beam_size(beam_size, 0.6))
    assert [one.hypothesis.tokens for one in cut] == [one.hypothesis.tokens for one in whole]
    assert len({len(one.hypothesis.tokens) for one in cut}) > 12
    assert max(sizes) == 16
    assert 60 < sum(sizes) < 80  # some rows were restarted in another batch


def test_a_large_model_with_long_inputs_is_given_few_at_a_time() -> None:
    config = TransformerConfig(source_vocab_size=32_000, target_vocab_size=32_000, max_length=4096)
    rows = [[5] * length for length in (10, 10, 4000, 4000)]
    for group in many._groups(range(4), rows, config, 4, 256, "cpu"):
        longest = max(len(rows[i]) for i in group)
        assert len(group) == 1 or len(group) * config.num_heads * longest**2 < 1 << 26


def test_long_inputs_are_read_fewer_at_a_time() -> None:
    config = TransformerConfig(source_vocab_size=9, target_vocab_size=9, d_model=8, num_heads=1)
    rows = [[5] * 4] * 300 + [[5] * 50] * 300
    groups = many._groups(range(600), rows, config, 1, 16, "cpu")
    assert [len(group) for group in groups] == [192, 96, 96, 96, 120]


@pytest.mark.parametrize("search", [Greedy(), Greedy(cached=False), Beam(), Beam(penalty="length")])
def test_what_is_done_is_soon_computed_no_more(
    bundled: Checkpoint, search: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(logits: Tensor, *rest: Any) -> Tensor:
        sizes.append(len(logits) // search.width)
        return normalised(logits, *rest)

    for module in (strategies, lean_beam):
        monkeypatch.setattr(module, "normalised", counted)
    source = batch_of(bundled.model, letters(bundled, 40))
    done = 0
    for new in search.outcomes(bundled.model, source):
        # Of the rows computed, less than the share DROPPED_FROM had already ended.
        assert 40 - done > (1 - DROPPED_FROM) * sizes[-1]
        done += len(new)
    assert (sizes[0], done) == (40, 40)
    assert sizes[-1] < 10


@few
@given(seeds)
def test_the_margin_of_greedy_is_the_smallest_lead_of_a_written_token(seed: int) -> None:
    model = wild_model(seed)
    rows = sentences(model, 8)
    for row, found in zip(rows, drained(model, rows), strict=True):
        best = log_probabilities(model, row, list(found.hypothesis.tokens)).topk(2).values
        leads = (best[:, 0] - best[:, 1]).tolist()
        assert found.margin == pytest.approx(min(leads), rel=0, abs=TOLERANCE)


def plain_beam_margin(model: Transformer, source: list[int], beam_size: int) -> float:
    """The margin of a simple beam search: the smallest gap that decides its outcome."""
    eos, alpha = model.config.eos_id, 0.6
    beam: list[tuple[float, float, tuple[int, ...]]] = [(0.0, 0.0, ())]  # score, total, tokens
    nearest = float("inf")
    for _ in range(MAX_LENGTH):
        grown = []
        for score, total, tokens in beam:
            if tokens and tokens[-1] == eos:
                grown.append((score, total, tokens))
                continue
            row = log_probabilities(model, source, [*tokens, 0])[-1]
            for token, value in enumerate(row.tolist()):
                longer = total + value
                written = (*tokens, token)
                grown.append((longer / penalty(len(written), alpha), longer, written))
        grown.sort(reverse=True)
        beam = grown[:beam_size]
        if len(grown) > beam_size:
            nearest = min(nearest, beam[-1][0] - grown[beam_size][0])
        ended = [score for score, _, tokens in beam if tokens[-1] == eos]
        hopes = [t / penalty(MAX_LENGTH, alpha) for _, t, tokens in beam if tokens[-1] != eos]
        if ended and max(ended) >= max(hopes, default=float("-inf")):
            nearest = min([nearest, *(max(ended) - hope for hope in hopes)])
            return min([nearest, *(max(ended) - score for score in sorted(ended)[:-1])])
    scores = sorted(ended or [score for score, _, _ in beam])
    return min([nearest, *(scores[-1] - score for score in scores[:-1])])


@settings(max_examples=6)
@given(seeds)
def test_the_margin_of_a_beam_is_that_of_a_plain_search(seed: int) -> None:
    model = wild_model(seed)
    rows = sentences(model, 3)
    for row, found in zip(rows, drained(model, rows, Beam(3)), strict=True):
        plain = plain_beam_margin(model, row, 3)
        [alone] = drained(model, [row], Beam(3))
        assert alone.margin == pytest.approx(plain, rel=0, abs=TOLERANCE)
        assert found.margin == pytest.approx(plain, rel=0, abs=TOLERANCE)


def test_stopping_early_keeps_finished_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "MOST_ROWS", {"cpu": 5})
    model = wild_model(1)
    rows = sentences(model, 20)
    whole = drained(model, rows)
    kept: dict[int, Decoded] = {}
    steps = decode_many(model, rows)
    for progress in steps:
        kept |= progress.new
        if kept:
            break
    steps.close()  # type: ignore[attr-defined]
    assert len(kept) == 5
    assert all(whole[number].hypothesis == one.hypothesis for number, one in kept.items())


def test_texts_that_cannot_be_read_are_named_in_their_place(bundled: Checkpoint) -> None:
    texts = ["abc", "", "a1", "workbench", "b" * 1000]
    found: dict[int, Answer] = {}
    for progress in bundled.answering(texts):
        found |= progress.new
    assert [found[number].source for number in range(5)] == texts
    assert [found[number].output for number in range(5)] == ["cba", "", "", "hcnebkrow", ""]
    assert [bool(found[number].error) for number in range(5)] == [False, True, True, False, True]
    assert "does not know 1" in found[2].error
    assert found[0].tokens == ("c", "b", "a", "<eos>")
    assert found[0].log_prob < 0


def test_in_single_precision_only_what_is_close_may_differ(bundled: Checkpoint) -> None:
    texts = [LETTERS[i % 26 :][: 1 + i % 20] for i in range(60)]
    found: dict[int, Answer] = {}
    for progress in bundled.answering(texts):
        found |= progress.new
    for number, text in enumerate(texts):
        [alone] = bundled.answers([text])
        one = found[number]
        assert one.close == (one.margin < CLOSE)
        assert one.close or one.output == alone.output
        assert one.close or one.log_prob == pytest.approx(alone.log_prob, rel=0, abs=1e-3)


def test_nothing_to_decode_is_done_at_once(bundled: Checkpoint) -> None:
    assert [progress.share for progress in bundled.answering([])] == [1.0]


@pytest.fixture
def bundled() -> Iterator[Checkpoint]:
    torch.set_default_dtype(torch.float32)
    yield Checkpoint.load(BUNDLED)
    torch.set_default_dtype(torch.float64)


def test_a_function_that_yields_steps_answers_as_its_strategy(bundled: Checkpoint) -> None:
    texts = ["abc", "workbench"]
    for function, strategy in ((greedy, GREEDY), (partial(beam_search, beam_size=3), Beam(3))):
        answers, expected = bundled.answers(texts, function), bundled.answers(texts, strategy)
        assert [answer.output for answer in answers] == [answer.output for answer in expected]

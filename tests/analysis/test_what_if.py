"""Forced and masked attention: what they change, and when they must change nothing."""

from functools import partial

import pytest
import torch
from torch import Tensor

from transformer.analysis.first_error import first_mismatch
from transformer.analysis.what_if import (
    Forced,
    forced,
    masked,
    most_alike,
    replaced_token,
    what_if,
)
from transformer.checkpoint import Checkpoint
from transformer.decoding.strategies import decode, greedy
from transformer.hooks import hook_points, record

TOLERANCE = 1e-5


def ids(checkpoint: Checkpoint, text: str) -> Tensor:
    return checkpoint.encode(text)


def test_without_a_change_nothing_changes(sort: Checkpoint) -> None:
    source = ids(sort, "workbench")
    found = what_if(sort.model, source)
    assert found.before == found.after
    assert found.parts_at is None
    assert sort.target_vocabulary.decode(found.before.tokens) == "bcehknorw"
    assert found.kept.tolist() == pytest.approx(found.before.probabilities, abs=TOLERANCE)
    assert found.preferred == found.before.tokens


def test_both_outputs_are_what_greedy_decoding_writes(sort: Checkpoint) -> None:
    source = ids(sort, "workbench")
    other = replaced_token(source, 3, int(ids(sort, "z")[0, 0]))
    assert torch.equal(other, ids(sort, "worzbench"))
    found = what_if(sort.model, source, changed=other)
    for text, written in ((source, found.before), (other, found.after)):
        [answer] = decode(sort.model, text, greedy)
        assert answer.tokens == written.tokens
        assert sum(torch.tensor(written.probabilities).log().tolist()) == pytest.approx(
            answer.log_prob, abs=1e-4
        )
    assert sort.target_vocabulary.decode(found.after.tokens) == "bcehnorwz"
    assert found.parts_at == 4  # bcehk, bcehn


@pytest.mark.parametrize("place", range(5))
def test_a_masked_token_is_in_no_attention(sort: Checkpoint, place: int) -> None:
    source, read = ids(sort, "bench"), torch.tensor([[1, 5, 6]])
    hidden = masked(sort.model, source, place)
    with torch.inference_mode(), record(sort.model) as trace:
        sort.model(hidden, read)
    for weights in (trace.encoder_attention, trace.cross_attention):
        assert (weights[..., place] == 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@pytest.mark.parametrize("place", [0, 2])
def test_what_a_masked_token_was_is_not_known(sort: Checkpoint, place: int) -> None:
    """Masking equals setting the token's score to -1e30 in every attention to the source."""
    source, read = ids(sort, "bench"), torch.tensor([[1, 5, 6]])
    names = [name for name in hook_points(sort.model) if name.endswith("scores")]
    names = [name for name in names if "decoder" not in name or "cross" in name]

    def hide(scores: Tensor) -> Tensor:
        scores = scores.clone()
        scores[..., place] = -1e30
        return scores

    points = hook_points(sort.model)
    for name in names:
        points[name].hooks.append(hide)
    try:
        with torch.inference_mode():
            by_hand = sort.model(source, read)
    finally:
        for name in names:
            points[name].hooks.remove(hide)
    with torch.inference_mode():
        torch.testing.assert_close(
            sort.model(masked(sort.model, source, place), read), by_hand, rtol=0, atol=TOLERANCE
        )
        assert (sort.model(source, read) - by_hand).abs().max() > 0.1


def test_masking_the_last_token_is_leaving_it_away(sort: Checkpoint) -> None:
    source, read = ids(sort, "bench"), torch.tensor([[1, 5, 6]])
    with torch.inference_mode():
        torch.testing.assert_close(
            sort.model(masked(sort.model, source, 5), read),
            sort.model(source[:, :5], read),
            rtol=0,
            atol=TOLERANCE,
        )


@pytest.mark.parametrize("heads", [(2,), (0, 3), None])
@pytest.mark.parametrize("position", [None, 1])
def test_forced_heads_look_there_and_nowhere_else(
    sort: Checkpoint, heads: tuple[int, ...] | None, position: int | None
) -> None:
    source, read = ids(sort, "bench"), torch.tensor([[1, 5, 6]])
    with torch.inference_mode(), record(sort.model) as before:
        sort.model(source, read)
    with (
        torch.inference_mode(),
        forced(sort.model, Forced(0, heads, 4, position)),
        record(sort.model) as trace,
    ):
        sort.model(source, read)
    weights = trace.cross_attention[0]  # [head, query, key]: layer 0
    for head in range(4):
        for query in range(3):
            if (heads is None or head in heads) and position in (None, query):
                assert weights[head, query].tolist() == [0, 0, 0, 0, 1, 0]
            else:  # layer 0 has the same input as before
                assert torch.equal(weights[head, query], before.cross_attention[0, head, query])
    assert not any(point.hooks for point in hook_points(sort.model).values())


def test_forcing_a_head_to_where_it_looks_changes_nothing(sort: Checkpoint) -> None:
    """A hook first makes the head one-hot there; forcing it there again changes nothing."""
    source = ids(sort, "workbench")
    with forced(sort.model, Forced(1, (1,), 6)):
        found = what_if(sort.model, source, force=Forced(1, (1,), 6))
        assert found.before == found.after
        assert found.kept.tolist() == pytest.approx(found.before.probabilities, abs=TOLERANCE)
        other = what_if(sort.model, source, force=Forced(1, (1,), 2))
        assert other.before == found.before
        assert other.after != other.before


def test_forcing_one_step_leaves_the_steps_before_it(sort: Checkpoint) -> None:
    source = ids(sort, "workbench")
    for position in (0, 3, 6):
        found = what_if(sort.model, source, force=Forced(1, None, 8, position))
        assert found.after.tokens[:position] == found.before.tokens[:position]
        assert found.after.probabilities[:position] == found.before.probabilities[:position]
        assert found.after.probabilities != found.before.probabilities
        assert found.kept[position] != pytest.approx(found.before.probabilities[position])


def test_a_forced_head_writes_the_value_of_that_place(
    sort: Checkpoint,
) -> None:
    source, read = ids(sort, "bench"), torch.tensor([[1, 5, 6]])
    with (
        torch.inference_mode(),
        forced(sort.model, Forced(0, None, 2)),
        record(sort.model) as trace,
    ):
        sort.model(source, read)
    outputs = trace["decoder.layers.0.cross_attention.head_outputs"]
    values = trace["decoder.layers.0.cross_attention.values"]
    torch.testing.assert_close(outputs, values[:, :, 2:3].expand_as(outputs), rtol=0, atol=0)


def test_both_outputs_start_with_the_prefix(sort: Checkpoint) -> None:
    source = ids(sort, "bench")
    prefix = ids(sort, "zz")[0, :2].tolist()
    found = what_if(sort.model, source, changed=masked(sort.model, source, 0), prefix=prefix)
    assert list(found.before.tokens[:2]) == list(found.after.tokens[:2]) == prefix
    expected = decode(sort.model, source, partial(greedy, prefix=prefix))[0]
    assert expected.tokens == found.before.tokens


@pytest.mark.parametrize("force", [Forced(2, None, 0), Forced(0, (4,), 0), Forced(0, None, 9)])
def test_what_is_not_there_is_refused_and_no_hook_stays(sort: Checkpoint, force: Forced) -> None:
    with pytest.raises((KeyError, IndexError)):
        what_if(sort.model, ids(sort, "bench"), force=force)
    assert not any(point.hooks for point in hook_points(sort.model).values())


def test_tokens_are_alike_by_the_angle_of_their_embeddings(sort: Checkpoint) -> None:
    vectors = sort.model.source_embedding.tokens.weight
    found = most_alike(sort.model, 7, 100)
    assert sorted([7, *found]) == list(range(sort.config.source_vocab_size))
    cosines = [float(torch.cosine_similarity(vectors[7], vectors[i], dim=0)) for i in found]
    assert cosines == sorted(cosines, reverse=True)
    assert most_alike(sort.model, 7, 3) == found[:3]


def test_parting() -> None:
    assert first_mismatch([1, 2, 3], [1, 2, 3]) is None
    assert first_mismatch([1, 2, 3], [1, 5, 3]) == 1
    assert first_mismatch([1, 2], [1, 2, 3]) == 2
    assert first_mismatch([], [1]) == 0

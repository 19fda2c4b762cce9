"""Heads switched off and patched, saliency, one weight's arithmetic; also in eight threads.

To run the eight threads for a minute:

    WORKBENCH_SECONDS=60 pytest tests/analysis/test_ablation.py
"""

import os
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from tests.support.checkpoint_files import summary_of
from tests.support.places import ROOT
from transformer.analysis.ablation import (
    KnockOut,
    Replacements,
    effect,
    exact_match,
    knock_out,
    means,
    patches,
    replaced,
    zeros,
)
from transformer.analysis.attribution import occlusion, saliency
from transformer.analysis.heads import Head, all_heads
from transformer.analysis.one_weight import one_weight
from transformer.analysis.trust import trust
from transformer.checkpoint import Checkpoint
from transformer.checkpoint.untrained import untrained
from transformer.decoding.strategies import decode, greedy
from transformer.errors import UserError
from transformer.hooks import ablate, hook_points, record
from transformer.model import Transformer
from transformer.tasks import Pair, build_task
from transformer.training.loop import evaluate_loss, evaluate_outputs

SECONDS = float(os.environ.get("WORKBENCH_SECONDS", "1"))


def answered(checkpoint: Checkpoint, text: str) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """The source ids, the decoder's input ids, and the ids that greedy decoding writes."""
    source = checkpoint.encode(text)
    [answer] = decode(checkpoint.model, source)
    read = torch.tensor([[checkpoint.config.decoder_start_id, *answer.tokens[:-1]]])
    return source, read, list(answer.tokens)


def held_out(checkpoint: Checkpoint, count: int = 200) -> list[Pair]:
    return build_task(checkpoint.header.data).held_out(count)


@torch.inference_mode()
def logits(checkpoint: Checkpoint, source: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    return checkpoint.model(source, read)


def test_knocking_out_finds_the_heads_of_the_bundled_model_that_matter(reverse: Checkpoint) -> None:
    """One head is indispensable, and the three least important ones cannot all be left out."""
    *shares, found = knock_out(reverse, held_out(reverse))
    done = [share for share in shares if isinstance(share, float)]
    assert done == sorted(done)
    assert done[-1] == 1
    assert isinstance(found, KnockOut)
    assert found.whole >= 0.995
    assert len(found.without) == 6
    assert found.whole - found.without[found.ranked[0]] > 0.5
    # In a larger model, the least important half might cost less than 5 points.
    assert len(found.least) == 3
    assert found.whole - found.without_least > 0.5
    # docs/comparison.md states the numbers that are measured here.
    chapter = " ".join((ROOT / "docs" / "comparison.md").read_text("utf-8").split())
    whole, top = (f"{100 * share:.3g} %" for share in (found.whole, found.without[found.ranked[0]]))
    assert f"falls from {whole} to {top} without it" in chapter
    assert f"cost {100 * (found.whole - found.without_least):.0f} points together" in chapter


def test_a_head_switched_off_is_a_head_whose_part_of_w_o_is_zero(sort: Checkpoint) -> None:
    source, read, _ = answered(sort, "workbench")
    head = Head("decoder", 0, 2)
    tensors = {name: tensor.clone() for name, tensor in sort.tensors.items()}
    d_k = sort.config.d_k
    tensors[head.point("output.weight")][:, head.head * d_k : (head.head + 1) * d_k] = 0
    with replaced(sort.model, zeros([head])):
        without = logits(sort, source, read)
    expected = logits(Checkpoint(sort.header, tensors), source, read)
    torch.testing.assert_close(without, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(without, logits(sort, source, read), atol=1e-2)


def test_exact_match_without_a_change_is_the_evaluation_of_training(reverse: Checkpoint) -> None:
    task = build_task(reverse.header.data)
    pairs = task.held_out(120)
    *_, (done, right) = exact_match(reverse, pairs, {})
    assert done == 120
    assert right / done == evaluate_outputs(reverse.model, task, pairs, 0).exact_match


def test_the_mean_is_over_real_positions_only(sort: Checkpoint) -> None:
    """The expected mean is computed one pair at a time, without padding."""
    pairs = held_out(sort, 5)
    heads = [Head("encoder", 1, 0), Head("decoder", 0, 3), Head("cross", 1, 2)]
    found = means(sort, heads, pairs)
    for head in heads:
        rows = []
        for pair in pairs:
            source = sort.encode(pair.source)
            target = sort.target_vocabulary.encode(pair.target)
            read = torch.tensor([[sort.config.decoder_start_id, *target]])
            with torch.inference_mode(), record(sort.model) as trace:
                sort.model(source, read)
            rows.append(trace[head.point("head_outputs")][0, head.head])
        torch.testing.assert_close(found[head], torch.cat(rows).mean(dim=0), rtol=0, atol=1e-5)


def test_a_patch_from_the_same_input_changes_nothing(sort: Checkpoint) -> None:
    source, read, written = answered(sort, "workbench")
    found = effect(sort.model, source, patches(sort, all_heads(sort.config), source, read, source))
    assert found.before == found.after == written
    for token in found.tokens:
        assert token.after == pytest.approx(token.before, abs=1e-5)


def test_all_heads_patched_from_another_input_carry_it_over(reverse: Checkpoint) -> None:
    """With all cross-attention heads patched, the output begins as the other input's does."""
    source, read, _ = answered(reverse, "abcdef")
    other = reverse.encode("uvwxyz")
    heads = [head for head in all_heads(reverse.config) if head.kind == "cross"]
    found = effect(reverse.model, source, patches(reverse, heads, source, read, other))
    after = reverse.target_vocabulary.decode(found.after)
    assert after[0] == "z"  # what the other input's answer starts with
    assert found.tokens[0].after < 0.1 < 0.9 < found.tokens[0].before


def test_a_patch_of_another_length_is_refused_where_it_cannot_fit(reverse: Checkpoint) -> None:
    source, read, _ = answered(reverse, "abc")
    other = reverse.encode("abcde")
    with pytest.raises(UserError, match="5 tokens and this one 3"):
        patches(reverse, [Head("encoder", 0, 0)], source, read, other)
    # Decoder heads are patched by position; positions beyond the other output keep their values.
    longer = patches(reverse, [Head("cross", 0, 0)], other, read, source)
    assert effect(reverse.model, other, longer).after


def test_a_head_that_is_not_there_is_named(reverse: Checkpoint) -> None:
    with (
        pytest.raises(IndexError, match="head 10"),
        replaced(reverse.model, zeros([Head("cross", 0, 9)])),
    ):
        pass
    with (
        pytest.raises(KeyError, match=r"layers\.7"),
        replaced(reverse.model, zeros([Head("cross", 7, 0)])),
    ):
        pass
    assert all(not point.hooks for point in hook_points(reverse.model).values())


def test_a_function_can_replace_a_value(reverse: Checkpoint) -> None:
    source, read, _ = answered(reverse, "abc")
    name = "decoder.layers.0.cross_attention.weights"
    with (
        torch.inference_mode(),
        ablate(reverse.model, name, [1], lambda part: part.flip(-1)),
        record(reverse.model, [name]) as trace,
    ):
        reverse.model(source, read)
    with torch.inference_mode(), record(reverse.model, [name]) as plain:
        reverse.model(source, read)
    assert torch.equal(trace[name][:, 0], plain[name][:, 0])
    assert torch.equal(trace[name][:, 1], plain[name][:, 1].flip(-1))


def test_the_untrained_model_is_the_one_training_began_with(sort: Checkpoint) -> None:
    task = build_task(sort.header.data)
    state = torch.random.get_rng_state()
    first = untrained(sort)
    assert torch.equal(torch.random.get_rng_state(), state)
    baseline = evaluate_loss(first.model, task, task.held_out(1000), 0)
    assert baseline.loss == pytest.approx(summary_of(sort).untrained_loss, rel=1e-6)
    again = untrained(sort)
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in first.tensors)


@pytest.mark.parametrize("rival", [None, 10])
def test_saliency_is_the_slope_of_the_lead(sort: Checkpoint, rival: int | None) -> None:
    """Scaling one input vector by 1 + ε moves the lead by ε times its saliency."""
    double = Transformer(sort.config).double()
    double.load_state_dict(
        {name: tensor.double() for name, tensor in sort.model.state_dict().items()}
    )
    double.eval().requires_grad_(False)
    double.source_embedding.positions = sort.model.source_embedding.positions.double()
    double.target_embedding.positions = sort.model.target_embedding.positions.double()
    source, read, written = answered(sort, "workbench")
    position, token = 3, written[3]
    found = saliency(double, source, read, position, token, rival)
    assert found.rival == rival or rival is None
    points = hook_points(double)
    epsilon = 1e-5

    def lead(stack: str, place: int) -> float:
        def scaled(value: torch.Tensor) -> torch.Tensor:
            value = value.clone()
            value[:, place] *= 1 + epsilon
            return value

        point = points[f"{stack}.layers.0.self_attention_residual.before"]
        point.hooks.append(scaled)
        try:
            with torch.inference_mode():
                last = double(source, read[:, : position + 1])[0, -1]
        finally:
            point.hooks.remove(scaled)
        return float(last[token] - last[found.rival])

    for stack, values in (("encoder", found.source), ("decoder", found.read)):
        for place, value in enumerate(values):
            assert (lead(stack, place) - found.lead) / epsilon == pytest.approx(value, abs=1e-3)
    assert all(not point.hooks for point in points.values())


def test_occlusion_is_the_lead_lost_by_hiding_one_token(sort: Checkpoint) -> None:
    source, read, written = answered(sort, "workbench")
    token, rival = written[3], written[5]
    found = occlusion(sort.model, source, read, 3, token, rival)
    assert found.shape == (source.size(1),)

    def lead(ids: torch.Tensor) -> float:
        last = logits(sort, ids, read[:, :4])[0, -1]
        return float(last[token] - last[rival])

    for place in range(source.size(1)):
        hidden = source.clone()
        hidden[0, place] = sort.config.pad_id
        assert lead(source) - lead(hidden) == pytest.approx(found[place], abs=1e-4)
    # The model sorts, so the letter to be written matters most.
    assert int(found.argmax()) == "workbench".index("h")


def test_leads_over_several_rivals_add_up(sort: Checkpoint) -> None:
    """a - c = (a - b) + (b - c), for each token's share too; a token's lead over itself is 0."""
    source, read, written = answered(sort, "workbench")
    a, b, c = written[3], written[5], 4
    whole, first, second, back, none = (
        saliency(sort.model, source, read, 3, token, rival)
        for token, rival in ((a, c), (a, b), (b, c), (c, a), (a, a))
    )
    assert whole.lead == pytest.approx(first.lead + second.lead, abs=1e-4)
    for part in ("source", "read"):
        shares = getattr(whole, part)
        assert abs(shares).max() > 0.1
        assert shares == pytest.approx(getattr(first, part) + getattr(second, part), abs=1e-4)
        assert shares == pytest.approx(-getattr(back, part), abs=1e-5)
        assert not getattr(none, part).any()


@pytest.mark.parametrize(
    "head", [Head("encoder", 1, 2), Head("decoder", 0, 1), Head("cross", 1, 3)]
)
def test_the_steps_of_a_number_lead_to_what_the_model_computed(
    sort: Checkpoint, head: Head
) -> None:
    source, read, _ = answered(sort, "workbench")
    row = 4
    found = one_weight(sort.model, source, read, head, row)
    assert np.allclose(found.products / found.sqrt_d_k, found.scores, atol=1e-5)
    powers = np.where(found.allowed, np.exp(found.scores - found.scores[found.allowed].max()), 0)
    assert np.allclose(powers / powers.sum(), found.weights, atol=1e-6)
    assert np.allclose(found.weights @ found.values, found.output, atol=1e-5)
    assert found.allowed.all() == (head.kind != "decoder")
    # All heads' written vectors and the bias together are the sub-layer's output.
    together = sum(
        one_weight(sort.model, source, read, head._replace(head=number), row).written
        for number in range(sort.config.num_heads)
    )
    residual = head.point("").removesuffix(".") + "_residual"
    with torch.inference_mode(), record(sort.model) as trace:
        sort.model(source, read)
    before, after = (trace[f"{residual}.{when}"][0, row].numpy() for when in ("before", "after"))
    bias = sort.tensors[head.point("output.bias")].numpy()
    assert sort.config.norm_first  # so that the sub-layer's output is added unchanged
    assert np.allclose(before + together + bias, after, atol=1e-4)


def test_trust_notices_every_kind_of_lie(sort: Checkpoint) -> None:
    source, read, _ = answered(sort, "abc")
    with torch.inference_mode(), record(sort.model) as trace:
        sort.model(source, read)
    true = {
        "encoder": trace.encoder_attention.numpy(),
        "decoder": trace.decoder_attention.numpy(),
        "cross": trace.cross_attention.numpy(),
    }

    def failing(weights: dict[str, np.ndarray], model: Checkpoint = sort) -> list[str]:
        ids = source[0].tolist(), read[0].tolist()
        return [check.name for check in trust(model, *ids, weights) if not check.ok]

    assert failing(true) == []
    assert "rows sum to 1" in failing({**true, "cross": true["cross"] * 1.01})
    leaking = true["decoder"].copy()
    leaking[0, 0, 0, 1] = 1e-6
    assert failing({**true, "decoder": leaking}) == ["nothing under the mask"]
    # Correct weights under the wrong heads still sum to 1.
    assert failing({**true, "cross": true["cross"][:, ::-1]}) == ["equals the formulas"]
    training = sort.view()
    training.model.train()
    assert failing(true, training) == ["dropout off"]


# --- eight threads at once --------------------------------------------------------------------


def work(checkpoint: Checkpoint, number: int) -> list[np.ndarray]:
    """The results of recording, ablating, patching and explaining on this thread's own modules."""
    own = checkpoint.view()
    text = ("workbench", "streamlit", "attention")[number % 3]
    source, read, written = answered(own, text)
    heads = [Head("cross", 1, number % 4), Head("encoder", 0, (number + 1) % 4)]
    with torch.inference_mode(), record(own.model) as trace:
        own.model(source, read)
    replacements: list[Callable[[], Replacements]] = [
        partial(zeros, heads),
        partial(patches, own, heads, source, read, own.encode("zyxwvutsr")),
    ]
    results = [trace[name].numpy() for name in sorted(trace)]
    for replacement in replacements:
        found = effect(own.model, source, replacement())
        results.append(np.array(found.after))
        results.append(np.array([token.after for token in found.tokens]))
    results.append(saliency(own.model, source, read, 2, written[2]).source)
    results.append(one_weight(own.model, source, read, heads[0], 1).written)
    return results


def test_eight_threads_at_once_get_what_each_gets_alone(sort: Checkpoint) -> None:
    alone = [work(sort, number) for number in range(8)]
    until = time.monotonic() + SECONDS
    wrong: list[str] = []
    rounds = [0] * 8

    def run(thread: int) -> None:
        try:
            while time.monotonic() < until or not rounds[thread]:
                number = (thread + rounds[thread]) % len(alone)
                for mine, expected in zip(work(sort, number), alone[number], strict=True):
                    if not np.array_equal(mine, expected):
                        wrong.append(f"thread {thread}, round {rounds[thread]}")
                rounds[thread] += 1
        except Exception as error:
            wrong.append(f"thread {thread}: {error!r}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert min(rounds) >= 1
    print(f"{sum(rounds)} rounds in {SECONDS:g} s, all equal")


def test_greedy_decoding_leaves_a_shared_cache_untouched_by_hooks(reverse: Checkpoint) -> None:
    """With and without the cache, a head switched off gives the same output."""
    source = reverse.encode("abcdef")
    with replaced(reverse.model, zeros([Head("encoder", 0, 1)])):
        cached = decode(reverse.model, source, greedy)[0].tokens
        plain = decode(reverse.model, source, partial(greedy, cached=False))[0].tokens
    assert cached == plain

"""The arithmetic behind the tables of ``python -m benchmarks``, without any measurement."""

from dataclasses import replace

import pytest
import torch

from benchmarks.peers import bound
from benchmarks.peers.growth import flops
from benchmarks.peers.measure import Spread, exponent, interleave, ratios
from benchmarks.peers.rows import OURS, Row
from benchmarks.peers.sizes import SIZES, made_up_pairs
from benchmarks.peers.targets import MET, MISSED, Target, cell, table
from benchmarks.peers.training import PART, own_variants
from benchmarks.peers.training_peers import MARIAN, NN
from benchmarks.solved import ADAM, NOW, Curve, solved
from benchmarks.solved import NN as TUTORIAL
from benchmarks.solved import Training as TimedRun
from benchmarks.solved import table as solved_table
from benchmarks.step_bound import Counted
from transformer.training.precision import has_bf16


def test_the_exponent_of_a_power_law_is_found_whatever_its_factor() -> None:
    sizes = [8.0, 16.0, 64.0]
    assert exponent(sizes, [3 * size**1.7 for size in sizes]) == pytest.approx(1.7)


def test_a_ratio_is_taken_within_each_round() -> None:
    """A round that is three times as slow for both sides leaves the ratio unchanged."""
    assert ratios([1.0, 3.0, 1.0], [2.0, 6.0, 2.0]) == Spread(2.0, 2.0, 2.0)
    spread = ratios([1.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert (spread.lower, spread.median, spread.upper) == (2.0, 3.0, 4.0)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        ratios([1.0, 2.0], [1.0])


def test_variants_take_turns_and_another_begins_each_round() -> None:
    called: list[str] = []

    def sample(name: str) -> float:
        called.append(name)
        return 1.0

    samples = {name: (lambda name=name: sample(name)) for name in "abc"}
    found = interleave(samples, 3, seconds=60)
    assert "".join(called) == "cababcbcacab"  # a round to warm up, then three
    assert all(len(seconds) == 3 for seconds in found.values())
    assert all(len(s) == 2 for s in interleave(samples, 9, seconds=0).values())


def test_arithmetic_counts_every_matrix_product_once() -> None:
    """With an empty vocabulary, a model with twice the layers needs twice the operations."""
    tiny = SIZES[0]
    one, two = (type(tiny)("", 128, layers, batch=3, words=-4) for layers in (1, 2))
    assert flops(two, 10, 10) == 2 * flops(one, 10, 10)
    # One more source position costs the encoder's work on it, and its cross-attention.
    d = 128
    longer = (2 * 12 + 2 * 2) * d * d + 4 * (11 * 11 - 10 * 10) * d + 4 * 10 * d
    assert flops(one, 11, 10) - flops(one, 10, 10) == 3 * 3 * longer
    # Decoder: 4 d² (self) + 4 d² (cross) + 8 d² (feed-forward); encoder: 4 d² + 8 d²; 2 FLOP each.
    # Each of three attentions: 4 n² d. With the backward pass, three times the forward pass.
    n = 10
    assert flops(one, n, n) == 3 * 3 * (2 * n * 28 * d * d + 3 * 4 * n * n * d)


def row(size: str, ours: float, theirs: float) -> Row:
    return Row(PART, "equal lengths", size, "token", {OURS: [ours] * 3, NN: [theirs] * 3})


def test_the_table_marks_what_is_met_and_what_is_missed() -> None:
    lines = table([row("tiny", 1.0, 1.6), row("small", 1.0, 1.1)]).splitlines()
    line = next(line for line in lines if NN in line and "fp32" in line)
    assert "1.60 (1.60–1.60) of 1.5 ✓ | 1.10 (1.10–1.10) of 1.35 ✗ | not measured |" in line
    missing = next(line for line in lines if MARIAN in line)
    assert "not measured" in missing


@pytest.mark.skipif(has_bf16(torch.device("cpu")), reason="this processor has bfloat16")
def test_bfloat16_is_left_out_where_it_is_imitated_and_the_table_says_so() -> None:
    size = replace(SIZES[0], batch=2)
    able, left_out = own_variants(size, made_up_pairs(size, 4, 4, batches=1), "cpu")
    assert [variant.name for variant in able] == [OURS]
    without = replace(row("tiny", 1.0, 1.3), facts=left_out)
    lines = [line for line in table([without]).splitlines() if "bf16" in line]
    assert "| not probed faster here | not measured | not measured |" in lines[0]


def test_on_cuda_the_table_shows_throughput_instead_of_targets() -> None:
    lines = table([row("tiny", 0.001, 0.0013)], "cuda").splitlines()
    line = next(line for line in lines if NN in line and "fp32" in line)
    assert line.endswith("| 1.30 (1.30–1.30); 1,000 | – | – |")
    assert not any(MARIAN in line for line in lines)


def test_a_cost_is_met_from_below() -> None:
    cheap = Target("", PART, "equal lengths", NN, (1.05,), at_most=True)
    assert cell(cheap, row("tiny", 1.0, 1.04), 1.05).endswith(MET)
    assert cell(cheap, row("tiny", 1.0, 1.2), 1.05).endswith(MISSED)


def test_a_row_is_the_same_after_the_json() -> None:
    one = row("tiny", 1.0, 1.3)
    assert Row.from_dict(one.to_dict()).ratio(NN) == one.ratio(NN)


def test_a_task_is_solved_once_the_median_of_the_seeds_stays_at_the_mark() -> None:
    def curve(*exact: float) -> Curve:
        return [(10 * n, float(n), one) for n, one in enumerate(exact, start=1)]

    lucky = curve(0.99, 1.0, 0.995, 0.99)
    assert solved([lucky]) == (1.0, 10)
    assert solved([lucky, curve(0, 0, 0.99, 0.99), curve(0, 1, 0, 0.99)]) == (2.0, 20)
    assert solved([lucky, curve(0, 0, 0, 0), curve(0, 0, 0, 0)]) is None
    assert solved([curve(1.0, 0.98, 1.0, 1.0)]) == (3.0, 30)  # the score must not fall again


def test_the_table_of_the_solved_tasks_says_who_did_not_get_there() -> None:
    def run(variant: str, seconds: float, exact: float) -> TimedRun:
        return TimedRun("copy", variant, 1, [(100, seconds, exact)])

    runs = [run(NOW, 10.0, 0.992), run(ADAM, 35.0, 0.999), run(TUTORIAL, 40.0, 0.1)]
    line = solved_table(runs).splitlines()[-1]
    assert "10 s, 100 updates; 99.2% after 10 s" in line
    assert "not in 40 s: 10.0%" in line
    assert line.endswith("| 3.5 |")


def test_a_task_may_have_a_mark_of_its_own() -> None:
    """The line of pronunciation, which is never all correct, names the share that suffices."""
    runs = [TimedRun("pronunciation", NOW, 1, [(10, 1.0, 0.6), (20, 2.0, 0.69)])]
    line = solved_table(runs).splitlines()[-1]
    assert line.startswith("| pronunciation (1), to 68.5% | 2 s, 20 updates; 69.0% after 2 s |")


def test_a_decoding_call_counts_what_a_forward_pass_does_but_looks_back_only() -> None:
    size, length = SIZES[0], 10
    whole = flops(size, length, length) / 3
    ahead = length * length - length * (length + 1) // 2
    unseen = size.layers * size.batch * 4 * size.d_model * ahead
    words = size.words + 4
    assert bound.arithmetic(size, size.batch, 1, length, words) == whole - unseen
    # A beam of 4 costs the decoder as much as 4 sentences, and the encoder nothing more.
    alone, four = (bound.arithmetic(size, 1, beam, length, words) for beam in (1, 4))
    assert alone < four < bound.arithmetic(size, 4, 1, length, words) == 4 * alone
    # Each step reads all weights of the decoder and the output layer, for any batch size.
    steps = [bound.read(size, batch, 1, 1, words) for batch in (1, 2)]
    held = 4 * size.layers * 2 * size.d_model * 2
    assert steps[1] - steps[0] == held
    weights = size.layers * (6 + 8) * size.d_model**2 + size.d_model * words
    assert steps[0] - held == 4 * weights


def test_what_a_step_computes_is_counted_in_both_passes() -> None:
    x, weight = torch.ones(3, 4, requires_grad=True), torch.ones(4, 5, requires_grad=True)
    with Counted() as counted:
        (x @ weight).sum().backward()
    assert counted.operations == 3 * (2 * 3 * 4 * 5)  # the product, and each of its gradients
    assert counted.calls >= 4
    assert counted.bytes[0] >= 4 * 3 * 5  # the sum reads the product from a cache
    assert counted.bytes[1] == 0

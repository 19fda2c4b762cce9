"""The training loop: its schedule, its loss, its batches, and that it learns what it should."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transformer.batches import Batch, Share, training_batches
from transformer.config import RunConfig, TrainingConfig, TransformerConfig
from transformer.model import Transformer
from transformer.presets import prepare
from transformer.tasks import SEVEN_PAIRS, Task, read_pairs
from transformer.training import (
    DivergedError,
    Event,
    Loss,
    Outputs,
    StepEnd,
    Update,
    cross_entropy,
    evaluate_loss,
    evaluate_outputs,
    learning_rate,
    train,
)

SMALL: dict[str, Any] = {"d_model": 16, "num_heads": 2, "d_ff": 16}
QUICK: dict[str, Any] = {
    "steps": 6,
    "batch_size": 8,
    "warmup_steps": 2,
    "eval_every": 2,
    "eval_examples": 8,
    "final_examples": 12,
    "threads": 1,
}
some = settings(max_examples=60)
few = settings(max_examples=15)


def made(task: str = "reverse", preset: str = "tiny", **changes: Any) -> tuple[Task, RunConfig]:
    """A task and a configuration of a few thousand weights."""
    return prepare(
        task,
        preset,
        pairs=changes.pop("pairs", None),
        data=changes.pop("data", {}),
        model=SMALL | changes.pop("model", {}),
        training=QUICK | changes,
    )


def fresh(config: RunConfig) -> Transformer:
    """A model as the trainer makes it."""
    torch.manual_seed(config.training.seed)
    return Transformer(config.model)


def weights(model: Transformer) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )


# The schedule


@some
@given(st.integers(1, 8192), st.integers(1, 20_000), st.integers(1, 200_000))
def test_inverse_sqrt_is_the_papers_formula(d_model: int, warmup: int, step: int) -> None:
    config = TrainingConfig(
        steps=200_000,
        schedule="inverse-sqrt",
        learning_rate=(d_model * warmup) ** -0.5,
        warmup_steps=warmup,
        decay_fraction=0.0,
    )
    paper = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)  # section 5.3, equation 3
    assert learning_rate(step, config) == pytest.approx(paper, rel=1e-12, abs=1e-12)


@some
@given(st.integers(1, 300), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(1e-5, 10.0))
def test_constant_schedule_rises_stays_and_falls(
    steps: int, decay: float, warmup: float, highest: float
) -> None:
    # A warm-up that reaches into the decay has no flat part to speak of, and is left out.
    warmup_steps = int(steps * (1 - decay) * warmup)
    config = TrainingConfig(
        steps=steps,
        warmup_steps=warmup_steps,
        decay_fraction=decay,
        learning_rate=highest,
        schedule="constant",
    )
    rates = [learning_rate(step, config) for step in range(1, steps + 1)]
    assert all(0 < rate <= highest for rate in rates)  # the last one included
    rising, falling = rates[:warmup_steps], rates[max(0, warmup_steps - 1) :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    # A straight line: all its steps down are equal.
    decaying = rates[steps - max(0, math.ceil(steps * decay) - 1) :]
    drops = [before - after for before, after in pairwise(decaying)]
    assert all(drop == pytest.approx(highest / (steps * decay), rel=1e-6) for drop in drops)
    before_decay = rates[max(0, warmup_steps - 1) : steps - math.ceil(steps * decay)]
    assert all(rate == highest for rate in before_decay)


def test_an_overlong_warmup_never_goes_wrong_either() -> None:
    config = TrainingConfig(steps=10, warmup_steps=1000, decay_fraction=1.0)
    rates = [learning_rate(step, config) for step in range(1, 11)]
    assert all(0 < rate < config.learning_rate for rate in rates)


# The loss


@some
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.5]))
def test_cross_entropy_is_the_plain_formula(seed: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 5, 7, generator=generator, dtype=torch.float64) * 3
    target = torch.randint(0, 7, (3, 5), generator=generator)
    target[0, 0] = 4  # at least one real token
    losses = []
    for row, ids in zip(logits.tolist(), target.tolist(), strict=True):
        for scores, true in zip(row, ids, strict=True):
            if true != 0:
                total = math.log(sum(map(math.exp, scores)))
                wanted = [smoothing / 7 + (1 - smoothing) * (k == true) for k in range(7)]
                losses.append(-sum(q * (z - total) for q, z in zip(wanted, scores, strict=True)))
    found = cross_entropy(logits, target, 0, smoothing).item()
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-12)
    # What the model says where there is only padding must not matter.
    logits[target == 0] = 1000 * torch.randn(7, generator=generator, dtype=torch.float64)
    assert cross_entropy(logits, target, 0, smoothing).item() == found


# The batches


def some_batches(task: Task, config: RunConfig, count: int) -> list[Batch]:
    shares = training_batches(task, config.model, config.training)
    return [share.batch for share in islice(shares, count)]


def rows(batch: Batch) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """The rows of a batch as lists, without their padding."""
    for parts in zip(batch.source, batch.target_in, batch.target_out, strict=True):
        source, target_in, target_out = (
            part[: int(part.ne(0).nonzero().max()) + 1].tolist() for part in parts
        )
        yield source, target_in, target_out


def check_rows(batch: Batch, config: TransformerConfig) -> None:
    assert batch.target_in.shape == batch.target_out.shape
    assert batch.source.size(0) == batch.target_in.size(0)
    for source, target_in, target_out in rows(batch):
        assert source[-1] == target_out[-1] == config.eos_id
        assert target_in[0] == config.decoder_start_id
        assert target_in[1:] == target_out[:-1]  # "shifted right" (section 3.1)
        special = {config.pad_id, config.bos_id, config.eos_id}
        assert not special & {*source[:-1], *target_in[1:]}


@few
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_batches_of_a_generated_task(seed: int, batch_size: int) -> None:
    task, config = made(seed=seed, batch_size=batch_size)
    first, again = some_batches(task, config, 5), some_batches(task, config, 5)
    for batch, copy in zip(first, again, strict=True):
        assert torch.equal(batch.source, copy.source)
        assert torch.equal(batch.target_in, copy.target_in)
        check_rows(batch, config.model)
        assert batch.source.size(0) == batch_size
        for source, _, target_out in rows(batch):
            assert source[-2::-1] == target_out[:-1]  # each source stays with its own answer


def test_another_seed_draws_other_batches() -> None:
    task, config = made()
    drawn = []
    for seed in (1, 2):
        changed = replace(config, training=config.training.replace(seed=seed))
        epoch = some_batches(task, changed, 32)  # all of it, so that another order is not enough
        drawn.append({tuple(map(tuple, batch.source.tolist())) for batch in epoch})
    assert not drawn[0] & drawn[1]


def test_little_of_a_batch_is_padding() -> None:
    """Texts of similar length stand together; in random order a third would be padding."""
    task, config = made(batch_size=32)
    padding = total = 0
    for share in islice(training_batches(task, config.model, config.training), 64):
        batch = share.batch
        for ids in (batch.source, batch.target_in):
            padding += int(ids.eq(config.model.pad_id).sum())
            total += ids.numel()
        assert share.tokens == batch.source.numel() + batch.target_in.numel()
        assert share.targets == batch.target_out.ne(config.model.pad_id).sum()
    assert padding / total < 0.15


@pytest.mark.parametrize(("count", "batch_size"), [(1, 4), (7, 2), (40, 1), (70, 2), (130, 4)])
def test_every_pair_comes_once_an_epoch(tmp_path: Path, count: int, batch_size: int) -> None:
    """The counts cross the edge of a pool (32 batches) and leave incomplete batches."""
    file = tmp_path / "pairs.tsv"
    file.write_text(
        "".join(f"s{i} {'a ' * (i % 3)}x\tt{i} {'b ' * (i % 5)}y\n" for i in range(count))
    )
    task, config = made(
        "pairs", pairs=file, data={"held_out": 0.0}, batch_size=batch_size, model={"max_length": 16}
    )
    batches = training_batches(task, config.model, config.training)
    orders = []
    for _ in range(2):
        seen: list[tuple[str, str]] = []
        while len(seen) < count:
            batch = next(batches).batch
            check_rows(batch, config.model)
            assert batch.source.size(0) <= batch_size
            seen += [
                (task.source_vocabulary.decode(source), task.target_vocabulary.decode(target))
                for source, _, target in rows(batch)
            ]
        assert Counter(seen) == Counter(tuple(pair) for pair in read_pairs(file).pairs)
        orders.append(seen)
    if count >= 40:
        assert orders[0] != orders[1]  # the next epoch comes in another order


def first_rows(share: Share) -> list[list[int]]:
    return [source for source, _, _ in rows(share.batch)]


@pytest.mark.parametrize(("count", "batch_size"), [(7, 2), (70, 2), (130, 4)])
def test_a_stream_that_starts_later_goes_on_alike(
    tmp_path: Path, count: int, batch_size: int
) -> None:
    """What a resumed run reads: into a pool, over its edge, and over that of an epoch."""
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"s{i} {'a ' * (i % 3)}x\tt{i}\n" for i in range(count)))
    task, config = made("pairs", pairs=file, data={"held_out": 0.0}, batch_size=batch_size)
    whole = list(islice(training_batches(task, config.model, config.training), 80))
    for start in (1, 3, 31, 33, 36, 70):
        later = training_batches(task, config.model, config.training, start=start)
        assert list(map(first_rows, islice(later, 8))) == list(
            map(first_rows, whole[start : start + 8])
        )


def test_the_shares_of_several_processes_make_the_whole_batch(tmp_path: Path) -> None:
    """Also where the last batch has fewer pairs than there are processes."""
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"s{i} {'a ' * (i % 3)}x\tt{i} y\n" for i in range(9)))
    task, config = made("pairs", pairs=file, data={"held_out": 0.0}, batch_size=4)
    pad_id = config.model.pad_id
    streams = [
        training_batches(task, config.model, config.training, rank=rank, size=3)
        for rank in range(3)
    ]
    whole = training_batches(task, config.model, config.training)
    for shares in islice(zip(whole, *streams, strict=True), 6):
        one, *parts = shares
        assert {(part.targets, part.tokens) for part in parts} == {(one.targets, one.tokens)}
        real = [part for part in parts if part.batch.target_out.ne(pad_id).any()]
        found = [row for part in real for row in first_rows(part)]
        assert Counter(map(tuple, found)) == Counter(map(tuple, first_rows(one)))


# The loop


def test_the_untrained_model_is_evaluated_first() -> None:
    task, config = made()
    model = fresh(config)
    before = weights(model)
    events = train(model, task, config.training)
    loss, outputs, end = next(events), next(events), next(events)
    assert end == StepEnd(0)
    assert isinstance(loss, Loss)
    assert isinstance(outputs, Outputs)
    assert loss.step == outputs.step == 0
    assert same(weights(model), before)
    assert len(outputs.outputs) == QUICK["final_examples"]
    update = next(events)
    assert isinstance(update, Update)
    assert update.step == 1
    assert not same(weights(model), before)


def test_the_events_come_in_order() -> None:
    task, config = made(steps=7, eval_every=3)
    events = list(train(fresh(config), task, config.training))
    kinds = [(type(event).__name__[0], event.step) for event in events]
    expected = "L0 O0 S0 U1 S1 U2 S2 U3 L3 O3 S3 U4 S4 U5 S5 U6 L6 O6 S6 U7 S7"
    assert [f"{kind}{step}" for kind, step in kinds] == expected.split()
    tokens = [event.tokens for event in events if isinstance(event, Update)]
    assert tokens == sorted(set(tokens))
    for event in events:
        if isinstance(event, Update):
            assert event.learning_rate == learning_rate(event.step, config.training)


def test_an_update_is_a_step_of_adam() -> None:
    """Against the paper's optimiser written out: β₁, β₂, ε, the rate, the clipped gradient."""
    task, config = made(steps=4, gradient_clip=0.5, adam_beta1=0.7, adam_beta2=0.9, adam_eps=1e-3)
    settings, pad_id = config.training, config.model.pad_id
    model, plain = fresh(config), fresh(config)
    for _ in train(model, task, settings):
        pass
    parameters = list(plain.parameters())
    means = [torch.zeros_like(p) for p in parameters]
    squares = [torch.zeros_like(p) for p in parameters]
    batches = training_batches(task, config.model, settings)
    for step, share in enumerate(islice(batches, settings.steps), start=1):
        batch = share.batch
        loss = cross_entropy(plain(batch.source, batch.target_in), batch.target_out, pad_id)
        gradients = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
        assert norm > settings.gradient_clip  # so that clipping is tested too
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
                g = g * settings.gradient_clip / norm
                m.mul_(0.7).add_(g, alpha=0.3)
                v.mul_(0.9).add_(g.square(), alpha=0.1)
                change = (m / (1 - 0.7**step)) / ((v / (1 - 0.9**step)).sqrt() + 1e-3)
                p.sub_(change, alpha=learning_rate(step, settings))
    for left, right in zip(model.parameters(), parameters, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def trained(config: RunConfig, task: Task) -> tuple[list[float], dict[str, Tensor]]:
    model = fresh(config)
    events = list(train(model, task, config.training))
    return [event.loss for event in events if isinstance(event, Update)], weights(model)


def test_the_same_seed_gives_the_same_bits() -> None:
    task, config = made(model={"dropout": 0.1}, label_smoothing=0.1)
    losses, end = trained(config, task)
    again, same_end = trained(config, task)
    assert losses == again
    assert same(end, same_end)
    other = RunConfig("", config.data, config.model, config.training.replace(seed=2))
    assert trained(other, task)[0] != losses


def test_evaluating_does_not_change_training() -> None:
    """Neither a random number drawn, nor dropout left switched off, nor a weight touched."""
    runs = []
    for eval_every in (1, 2, 1000):
        task, config = made(model={"dropout": 0.1}, eval_every=eval_every)
        runs.append(trained(config, task))
    for losses, end in runs[1:]:
        assert losses == runs[0][0]
        assert same(end, runs[0][1])


def test_dropout_acts_in_training_and_not_in_evaluation() -> None:
    task, config = made(model={"dropout": 0.5})
    model = fresh(config)
    pairs = task.held_out(8)
    events = train(model, task, config.training)
    first = next(event for event in events if isinstance(event, Update))
    _, plain = made(model={"dropout": 0.0})
    assert first.loss != trained(plain, task)[0][0]
    assert evaluate_loss(model, task, pairs, 1) == evaluate_loss(model, task, pairs, 1)


def test_label_smoothing_is_for_training_only() -> None:
    """Otherwise the evaluation loss of two runs could not be compared."""
    task, config = made(label_smoothing=0.3)
    model = fresh(config)
    events: list[Event] = list(islice(train(model, task, config.training), 4))
    task, plain = made(label_smoothing=0.0)
    others: list[Event] = list(islice(train(fresh(plain), task, plain.training), 4))
    assert events[0] == others[0]
    assert isinstance(events[3], Update)
    assert events[3] != others[3]


def test_the_evaluation_is_weighed_by_tokens() -> None:
    """One pair at a time or all in one batch: the mean over tokens is the same."""
    task, config = made()
    model, pairs = fresh(config), task.held_out(20)
    whole = evaluate_loss(model, task, pairs, 0)
    lengths = [len(pair.target) + 1 for pair in pairs]
    single = [evaluate_loss(model, task, [pair], 0) for pair in pairs]
    mean = sum(one.loss * n for one, n in zip(single, lengths, strict=True)) / sum(lengths)
    right = sum(one.token_accuracy * n for one, n in zip(single, lengths, strict=True))
    assert whole.loss == pytest.approx(mean, rel=1e-5)
    assert whole.token_accuracy == pytest.approx(right / sum(lengths), rel=1e-5)


def test_a_nan_is_reported_and_no_weight_updated() -> None:
    task, config = made()
    model = fresh(config)
    with torch.no_grad():
        model.output.weight[5, 0] = math.nan
    before = weights(model)
    with pytest.raises(DivergedError, match="learning rate"):
        list(train(model, task, config.training))
    for name, tensor in weights(model).items():
        assert torch.equal(tensor.nan_to_num(7.0), before[name].nan_to_num(7.0))


@pytest.mark.parametrize("eval_every", [1, 1000])
def test_a_wild_learning_rate_is_reported(eval_every: int) -> None:
    """Whether an update or an evaluation is the first to meet a number that is not finite."""
    # Adam bounds its steps, and normalisation bounds what they do: only without memory of the
    # second moment (β₂ = 0) do tokens that are absent from a batch take steps without bounds.
    task, config = made(
        steps=200,
        batch_size=1,
        warmup_steps=0,
        learning_rate=10.0,
        gradient_clip=1e6,
        adam_beta2=0.0,
        adam_eps=1e-30,
        eval_every=eval_every,
    )
    events = train(fresh(config), task, config.training)
    losses: list[float] = []
    with pytest.raises(DivergedError):
        losses.extend(event.loss for event in events if isinstance(event, Loss | Update))
    assert all(map(math.isfinite, losses))


# Does it learn?


@pytest.mark.parametrize(
    ("task", "preset", "model"),
    [
        ("reverse", "tiny", {}),
        ("addition", "small", {}),
        ("sort", "medium", {"d_model": 64}),
        ("copy", "base", {"d_model": 32, "d_ff": 32}),
        ("pairs", "overfit", {"d_model": 64}),
    ],
)
def test_the_first_loss_is_near_that_of_a_guess(
    task: str, preset: str, model: dict[str, Any]
) -> None:
    """A model that knows nothing should say so: the loss of a uniform guess is ln|V|."""
    pairs = SEVEN_PAIRS if task == "pairs" else None
    built, config = made(task, preset, pairs=pairs, model=model, eval_examples=40)
    loss = evaluate_loss(fresh(config), built, built.held_out(40), 0)
    assert abs(loss.loss - math.log(config.model.target_vocab_size)) < 1.5
    assert 0 <= loss.token_accuracy < 0.3


def test_a_short_training_learns_to_copy() -> None:
    task, config = made(
        "copy",
        data={"max_letters": 3},
        model={"d_model": 32, "d_ff": 64},
        steps=150,
        batch_size=64,
        warmup_steps=20,
        learning_rate=4e-3,
        eval_every=1000,
    )
    model, pairs = fresh(config), task.held_out(50)
    untrained = evaluate_loss(model, task, pairs, 0)
    for _ in train(model, task, config.training):
        pass
    trained = evaluate_loss(model, task, pairs, 150)
    assert trained.loss < untrained.loss / 2
    assert trained.token_accuracy > 0.6 > untrained.token_accuracy


@pytest.fixture(scope="module")
def by_heart() -> tuple[Task, RunConfig, Transformer, list[Event]]:
    """The seven bundled pairs, learned with the preset as it is until the loss is below 0.001."""
    task, config = prepare(
        "pairs", "overfit", pairs=SEVEN_PAIRS, training={"until_loss": 1e-3, "threads": 1}
    )
    model = fresh(config)
    return task, config, model, list(train(model, task, config.training))


def test_the_seven_pairs_are_learned_by_heart(
    by_heart: tuple[Task, RunConfig, Transformer, list[Event]],
) -> None:
    task, _, model, events = by_heart
    pairs = read_pairs(SEVEN_PAIRS).pairs
    assert len(pairs) == 7
    assert task.held_out(1000) == pairs
    assert evaluate_loss(model, task, pairs, 0).loss < 1e-3
    outputs = evaluate_outputs(model, task, pairs, 0)
    assert outputs.outputs == [pair.target for pair in pairs]
    assert outputs.exact_match == 1.0
    untrained = next(event for event in events if isinstance(event, Outputs))
    assert untrained.exact_match == 0.0


def test_until_loss_stops_early(
    by_heart: tuple[Task, RunConfig, Transformer, list[Event]],
) -> None:
    _, config, _, events = by_heart
    *_, update, last = events
    assert isinstance(update, Update)
    assert isinstance(last, Loss)
    assert last.loss < 1e-3
    assert update.step == last.step < config.training.steps
    earlier = [event.loss for event in events[:-1] if isinstance(event, Loss)]
    assert all(loss >= 1e-3 for loss in earlier)

"""The training loop: its schedule, loss, events and evaluations, and that it learns."""

import math
import subprocess
import sys
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.support.small_training import QUICK, fresh, made, same, weights
from transformer.config import RunConfig, TrainingConfig
from transformer.model import Transformer
from transformer.tasks import SEVEN_PAIRS, Task, read_pairs
from transformer.tasks.presets import prepare
from transformer.training.batches import training_batches
from transformer.training.loop import (
    Begin,
    DivergedError,
    Event,
    Loss,
    Outputs,
    StepEnd,
    Update,
    cross_entropy,
    evaluate_loss,
    evaluate_outputs,
    train,
)
from transformer.training.optimizer import Adam, clip_gradients, learning_rate

some = settings(max_examples=60)


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
    # A warm-up that reaches into the decay leaves no constant part, so none is drawn.
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
    # Logits at positions of padding must not matter.
    logits[target == 0] = 1000 * torch.randn(7, generator=generator, dtype=torch.float64)
    assert cross_entropy(logits, target, 0, smoothing).item() == found


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
    assert isinstance(next(events), Begin)
    update = next(events)
    assert isinstance(update, Update)
    assert update.step == 1
    assert not same(weights(model), before)


def test_the_events_come_in_order() -> None:
    task, config = made(steps=7, eval_every=3)
    events = list(train(fresh(config), task, config.training))
    kinds = [(type(event).__name__[0], event.step) for event in events]
    expected = "L0 O0 S0 B0 U1 S1 U2 S2 U3 L3 O3 S3 U4 S4 U5 S5 U6 L6 O6 S6 U7 S7"
    assert [f"{kind}{step}" for kind, step in kinds] == expected.split()
    tokens = [event.tokens for event in events if isinstance(event, Update)]
    assert tokens == sorted(set(tokens))
    for event in events:
        if isinstance(event, Update):
            assert event.learning_rate == learning_rate(event.step, config.training)


def test_an_update_is_a_step_of_adam() -> None:
    """Compared with Adam written out: β₁, β₂, ε, the rate, the clipped gradient."""
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


def test_adam_is_that_of_pytorch_bit_for_bit() -> None:
    """One parameter has no gradient at first; halfway, ours goes on from a saved state."""
    torch.manual_seed(1)
    ours = [torch.randn(shape, requires_grad=True) for shape in ((5, 3), (7,), (2, 2))]
    theirs = [parameter.detach().clone().requires_grad_() for parameter in ours]
    how: dict[str, Any] = {"betas": (0.9, 0.98), "eps": 1e-9}
    adam, pytorch = Adam(ours, **how), torch.optim.Adam(theirs, fused=True, **how)
    for step in range(1, 8):
        rate = 1e-3 * step
        pytorch.param_groups[0]["lr"] = rate
        adam.zero_grad()
        pytorch.zero_grad()
        for parameters in (ours, theirs):
            torch.manual_seed(step)
            for one in parameters[step < 3 :]:
                one.backward(torch.randn_like(one))
        adam.step(rate)
        pytorch.step()
        if step == 4:
            kept, adam = adam.state, Adam(ours, **how)
            adam.state = {one: dict(slots) for one, slots in kept.items()}
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)
        assert adam.state[one].keys() == pytorch.state[other].keys()
        for key, value in pytorch.state[other].items():
            assert torch.equal(adam.state[one][key], value)


@pytest.mark.parametrize(
    ("max_norm", "norm"),
    [(1.0, 2.0), (1.0, 1.0), (1.0, 0.9999995), (1.0, 0.98), (1e3, 1.0), (1e-5, 9.8e-6)],
)
def test_gradients_are_clipped_as_by_pytorch_bit_for_bit(max_norm: float, norm: float) -> None:
    torch.manual_seed(1)
    drawn = [torch.randn(size) for size in [(7, 5), (5,), (3, 2)]]
    length = torch.cat([one.flatten() for one in drawn]).norm() / norm
    found = []
    for clip in (clip_gradients, nn.utils.clip_grad_norm_):
        parameters = [torch.zeros_like(one, requires_grad=True) for one in (*drawn, length)]
        for parameter, gradient in zip(parameters, drawn, strict=False):  # the last one has none
            parameter.grad = gradient / length
        before = clip(parameters, max_norm)
        assert before.item() == pytest.approx(norm)
        assert parameters[-1].grad is None
        found.append([before, *(one.grad for one in parameters[:-1] if one.grad is not None)])
    for ours, theirs in zip(*found, strict=True):
        assert ours.equal(theirs)


def test_weight_decay_is_adamws_on_matrices_alone() -> None:
    torch.manual_seed(1)
    ours = [torch.randn(shape, requires_grad=True) for shape in ((5, 3), (7,))]
    theirs = [parameter.detach().clone().requires_grad_() for parameter in ours]
    how: dict[str, Any] = {"betas": (0.9, 0.98), "eps": 1e-9}
    adam = Adam(ours, **how, decay=0.3)
    groups: Any = [{"params": theirs[:1], "weight_decay": 0.3}, {"params": theirs[1:]}]
    pytorch = torch.optim.AdamW(groups, weight_decay=0.0, lr=1e-2, **how)
    for step in range(1, 5):
        for parameters in (ours, theirs):
            torch.manual_seed(step)
            for one in parameters:
                one.grad = torch.randn_like(one)
        adam.step(1e-2)
        pytorch.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_no_trainer_imports_a_compiler(tmp_path: Path) -> None:
    """torch._dynamo takes as long to import as PyTorch, and several parts of PyTorch import it."""
    flags = ["--steps=1", "--max-letters=2", "--d-model=8", "--num-heads=1", "--final-examples=2"]
    code = (
        "import sys; from transformer.__main__ import main; "
        f"main(['train', '--task=reverse', *{flags}, '--run-dir=' + sys.argv[1]]); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0


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
    """Evaluation draws no random number, leaves dropout on and touches no weight."""
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
    """Evaluation losses of runs with different smoothing can be compared."""
    task, config = made(label_smoothing=0.3)
    model = fresh(config)
    events: list[Event] = list(islice(train(model, task, config.training), 5))
    task, plain = made(label_smoothing=0.0)
    others: list[Event] = list(islice(train(fresh(plain), task, plain.training), 5))
    assert events[0] == others[0]
    assert isinstance(events[4], Update)
    assert events[4] != others[4]


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
    """An update or an evaluation, whichever meets a non-finite number first, reports it."""
    # Adam bounds its steps, and normalisation bounds their effect. Only with β₂ = 0 (no memory of
    # the second moment) do the embeddings of tokens absent from a batch take unbounded steps.
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
    """An untrained model should guess about uniformly, and a uniform guess has a loss of ln|V|."""
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
    """A model trained on the seven bundled pairs with the preset until its loss is below 0.001."""
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

"""Muon: it updates the layers' matrices alone, orthogonally, and resumes."""

import pytest
import torch

from tests.support.small_training import fresh, made, same, weights
from transformer.training.batches import training_batches
from transformer.training.loop import Training, Update, cross_entropy
from transformer.training.optimizer import (
    LIKE_ADAM,
    MOMENTUM,
    POLYNOMIALS,
    Adam,
    Muon,
    learning_rate,
    optimizer_of,
    orthogonal,
)


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3)])
@pytest.mark.parametrize("size", [1.0, 1e-25])
def test_an_update_has_the_directions_of_its_matrix_and_no_lengths(
    shape: tuple[int, int], size: float
) -> None:
    """Compared with the polynomials applied to each matrix's singular values."""
    torch.manual_seed(1)
    matrices = torch.randn(5, *shape, dtype=torch.float64)
    for matrix, found in zip(matrices, orthogonal(size * matrices), strict=True):
        u, s, v = torch.linalg.svd(matrix, full_matrices=False)
        s = s / s.pow(4).sum().pow(0.25)
        large = s >= 0.01
        for a, b, c in POLYNOMIALS:
            s = a * s + b * s**3 + c * s**5
        torch.testing.assert_close(found, u * s @ v, rtol=0, atol=1e-10)
        assert ((s[large] > 0.72) & (s[large] < 1.28)).all()


def test_all_singular_values_from_a_hundredth_on_come_out_near_one() -> None:
    found = torch.linspace(0.01, 1, 10_000, dtype=torch.float64)
    for a, b, c in POLYNOMIALS:
        found = a * found + b * found**3 + c * found**5
    assert ((found > 0.72) & (found < 1.28)).all()


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_gradients_too_small_or_large_to_be_squared_are_made_orthogonal_too(size: float) -> None:
    matrices = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(orthogonal(size * matrices), orthogonal(matrices), rtol=0, atol=1e-3)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_in_half_the_bits_no_direction_runs_off(noise: float) -> None:
    """A dominant singular value is close to 1, above which the polynomials grow fast."""
    draw = torch.Generator().manual_seed(1)
    lone = torch.randn(64, 48, 1, generator=draw) @ torch.randn(64, 1, 96, generator=draw)
    found = orthogonal((lone + noise * torch.randn(lone.shape, generator=draw)).bfloat16())
    largest = torch.linalg.svdvals(found.float())[:, 0]
    assert ((largest > 0.7) & (largest < 1.3)).all()


def test_nothing_to_learn_moves_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 3, 3)), torch.zeros(1, 3, 3))


def test_an_update_is_momentum_made_orthogonal_and_adam_for_the_rest() -> None:
    task, config = made(steps=3, optimizer="muon", gradient_clip=1e6, adam_eps=1e-3)
    settings, pad_id = config.training, config.model.pad_id
    training = Training(fresh(config), task, settings)
    events = training.events()
    plain = fresh(config)
    inside = {
        name: torch.zeros_like(one)
        for name, one in plain.named_parameters()
        if one.dim() == 2 and "layers" in name
    }
    named = dict(plain.named_parameters())
    assert len(inside) == 6 + 10  # of the encoder's layer and the decoder's
    rest = [one for name, one in named.items() if name not in inside]
    adam = Adam(rest, (settings.adam_beta1, settings.adam_beta2), settings.adam_eps)
    for step, share in zip(
        range(1, 4), training_batches(task, config.model, settings), strict=False
    ):
        batch = share.batch
        plain.zero_grad()
        cross_entropy(plain(batch.source, batch.target_in), batch.target_out, pad_id).backward()
        rate = learning_rate(step, settings)
        adam.step(rate)
        with torch.no_grad():
            for name, momentum in inside.items():
                gradient = named[name].grad
                assert gradient is not None
                momentum.mul_(MOMENTUM).add_(gradient, alpha=1 - MOMENTUM)
                ahead = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
                scale = LIKE_ADAM * max(gradient.shape) ** 0.5
                named[name].sub_(orthogonal(ahead[None])[0], alpha=rate * scale)
        next(event for event in events if isinstance(event, Update))
    for left, right in zip(training.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_weight_decay_takes_the_same_share_off_every_matrix() -> None:
    """Muon's and Adam's matrices decay, whatever their gradients; gains and biases do not."""
    config = made(optimizer="muon", weight_decay=0.5)[1]
    model, other = fresh(config), fresh(config)
    with_decay = optimizer_of(model, config.training)
    without = optimizer_of(other, config.training.replace(weight_decay=0.0))
    for one in (*model.parameters(), *other.parameters()):
        one.grad = torch.full_like(one, 0.1)
    before = weights(model)
    with_decay.step(0.01)
    without.step(0.01)
    after, plain = weights(model), weights(other)
    for name, weight in before.items():
        taken = 0.01 * 0.5 * weight if weight.dim() > 1 else torch.zeros_like(weight)
        torch.testing.assert_close(plain[name] - after[name], taken, rtol=1e-3, atol=1e-6)


def test_a_setting_chooses() -> None:
    config = made(optimizer="muon")[1]
    model = fresh(config)
    assert isinstance(optimizer_of(model, config.training), Muon)
    assert isinstance(optimizer_of(model, made()[1].training), Adam)


def test_it_goes_on_bit_for_bit() -> None:
    task, config = made(steps=6, optimizer="muon", model={"dropout": 0.1})
    unbroken = Training(fresh(config), task, config.training)
    state, halfway = {}, {}
    for event in unbroken.events():
        if isinstance(event, Update) and event.step == 3:
            state = {name: value.clone() for name, value in unbroken.state().items()}
            halfway = weights(unbroken.model)
    assert any(name.endswith(".momentum") for name in state)
    model = fresh(config)
    model.load_state_dict(halfway, strict=False)
    resumed = Training(model, task, config.training)
    resumed.restore(3, 0, state)
    for _ in resumed.events():
        pass
    assert same(weights(resumed.model), weights(unbroken.model))

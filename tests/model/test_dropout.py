"""Our dropout: drops the right share independently, and keeps the mean by scaling."""

import pytest
import torch

from transformer.dropout import Dropout

COUNT = 1 << 20


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_the_right_share_is_dropped_and_the_rest_made_up_for(p: float) -> None:
    torch.manual_seed(1)
    out = Dropout(p).train()(torch.ones(COUNT))
    dropped = (out == 0).float().mean().item()
    assert dropped == pytest.approx(p, abs=5 * (p * (1 - p) / COUNT) ** 0.5)
    kept = out[out != 0]
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=1e-3)


def test_neighbours_are_dropped_independently() -> None:
    """Includes the four that share a random number, and equal positions of two calls."""
    torch.manual_seed(1)
    layer = Dropout(0.3).train()
    first, second = layer(torch.ones(COUNT)) == 0, layer(torch.ones(COUNT)) == 0
    for one, other in (
        (first, second),
        *((first[:-shift], first[shift:]) for shift in (1, 2, 3, 4, 128)),
    ):
        assert (one & other).float().mean().item() == pytest.approx(0.09, abs=0.002)


def test_the_gradient_goes_where_the_value_went() -> None:
    torch.manual_seed(1)
    x = torch.randn(3, 5, 7, requires_grad=True)
    out = Dropout(0.4).train()(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad * x.detach(), out.detach())


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (4, 4, 5)])
def test_any_shape_and_type(shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        out = Dropout(0.5).train()(torch.ones(shape, dtype=dtype))
        assert out.shape == shape
        assert out.dtype == dtype
        assert set(out.flatten().tolist()) <= {0.0, 2.0}


def test_it_does_nothing_where_it_should_do_nothing() -> None:
    x = torch.randn(100)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_nearly_all_dropped_leaves_finite_numbers() -> None:
    torch.manual_seed(1)
    assert Dropout(0.99999).train()(torch.ones(COUNT)).isfinite().all()

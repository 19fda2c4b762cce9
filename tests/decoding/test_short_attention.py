"""Short rows of attention, computed otherwise than long ones, have the same values."""

import pytest
import torch

from transformer.decoding.engines import fused_layers
from transformer.decoding.engines.fused_layers import MANY_HEADS, MANY_ROWS, attend, softmax

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("rows", [1, MANY_ROWS])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 15, 16, 17])
def test_padded_softmax_equals_pytorchs(
    length: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_layers, "REGISTER", 128)  # 16 numbers, on any processor
    torch.manual_seed(length)
    scores = torch.randn(rows, 1, length, requires_grad=True)
    weight = torch.randn(rows, 1, length)
    found = []
    for function in (softmax, lambda scores: torch.softmax(scores, dim=-1)):
        weights = function(scores)
        [gradient] = torch.autograd.grad((weights * weight).sum(), scores)
        found.append((weights, gradient))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


def test_a_row_that_is_masked_throughout_is_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_layers, "REGISTER", 64)
    for dtype in (torch.float32, torch.bfloat16):
        scores = torch.full((MANY_ROWS, 5), torch.finfo(dtype).min, dtype=dtype)
        assert torch.equal(softmax(scores), torch.full_like(scores, 0.2))


@pytest.mark.parametrize(("dtype", "lanes"), [(torch.float32, 16), (torch.bfloat16, 32)])
def test_rows_are_padded_to_a_register(
    dtype: torch.dtype, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_layers, "REGISTER", 64)
    for length in (lanes - 1, lanes):
        memory = softmax(torch.zeros(MANY_ROWS, length, dtype=dtype)).untyped_storage()
        assert memory.nbytes() == MANY_ROWS * 64


@pytest.mark.parametrize("rows", [4, MANY_HEADS])
@pytest.mark.parametrize("length", [1, 7, 24, 25, 60])
def test_one_query_mixes_the_values_by_its_weights(length: int, rows: int) -> None:
    """With few keys and many heads, without PyTorch's batched product."""
    torch.manual_seed(length)
    queries, keys, values = (torch.randn(rows, n, 16) for n in (1, length, length))
    mixed, weights = attend(queries, keys.mT, values, 4, None)
    expected = torch.softmax(queries @ keys.mT, dim=-1)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-13)
    joined = (expected @ values).view(rows // 4, 64)
    torch.testing.assert_close(mixed, joined, rtol=0, atol=1e-13)

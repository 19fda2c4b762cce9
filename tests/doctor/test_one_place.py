"""A fault in a single sub-layer, and code that only looks like a fault."""

import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.strangers import stranger
from tests.support.strangers.builtin_encoder import Mixed
from tests.support.strangers.cached import CachedTransformer
from transformer.doctor import doctor


def test_one_residual_taken_after_its_norm_is_proven_and_lit_there() -> None:
    model: Any = CachedTransformer(57, 59, n=1)

    def late(self: Any, x: Tensor, mask: Any, memory: Any, keep: Any, incremental: bool) -> Tensor:
        x = x + self.att(self.norm_att(x), mask=mask)
        x = self.norm_cross(x)
        x = x + self.cross(x, memory, keep)
        return x + self.down(self.up(self.norm_ff(x)).relu())

    for layer in model.decoder:
        layer.forward = types.MethodType(late, layer)
    report = doctor(model)
    [departure] = report.departures
    assert (departure.fault, departure.certainty) == ("residual-after-norm", "proven")
    assert departure.where == "decoder cross-attention, residual"
    assert departure.site is not None
    assert departure.site.text == "x = x + self.cross(x, memory, keep)"
    assert report.highlight is not None
    assert report.highlight.place == "decoder.cross.residual"


def test_heads_split_askew_in_cross_attention_alone_are_placed_there() -> None:
    model: Any = CachedTransformer(57, 59, n=1)
    for layer in model.decoder:
        cross = layer.cross

        def keys_by_view(t: Tensor, cross: Any = cross) -> Tensor:
            if t.size(1) == 11:  # the source length of the probes
                return t.view(t.size(0), cross.h, t.size(1), cross.dk)
            return t.view(*t.shape[:2], cross.h, cross.dk).transpose(1, 2)

        cross.heads = keys_by_view
    report = doctor(model)
    assert report.departures[0].fault == "heads-split-by-view"
    assert report.departures[0].where == "decoder cross-attention, scores"
    assert "keys and values" in report.departures[0].evidence
    assert report.highlight is not None
    assert report.highlight.place == "decoder.cross"


@pytest.mark.parametrize("name", ["wpe_enc", "wpe_dec"])
def test_learned_positions_that_begin_at_zero_are_positions(name: str) -> None:
    model: Any = stranger("sdpa")
    getattr(model, name).weight.data.zero_()
    report = doctor(model)
    assert report.passed, report.text()
    assert [d.fault for d in report.departures] == ["unscaled-embeddings"]


def test_sines_in_a_parameter_are_known_by_their_formula() -> None:
    model: Any = stranger("headlist")
    report = doctor(model)
    assert (
        "the source side's positions lie in a parameter, and follow a formula"
        in report.diagnosis.choices
    )
    position, even = torch.arange(len(model.pe))[:, None], torch.arange(0, model.d_model, 2)
    wrong = torch.zeros_like(model.pe)
    wrong[:, ::2] = torch.sin(position / 1e4 ** (2 * even / model.d_model))
    wrong[:, 1::2] = torch.cos(position / 1e4 ** (2 * (even + 1) / model.d_model))
    model.pe.data.copy_(wrong)
    assert "positions-wrong-formula" in [d.fault for d in doctor(model).departures]


@pytest.mark.long
def test_nan_with_padding_alone_is_a_mask_on_the_queries() -> None:
    model: Any = Mixed(d=16, h=2, f=16, n=2)

    class OnQueries(nn.Module):
        ids: Tensor

        def __init__(self, right: Any) -> None:
            super().__init__()
            self.right = right

        def forward(self, q: Tensor, kv: Tensor, mask: Tensor) -> Tensor:
            if q is kv:
                mask = mask & (self.ids != 0)[:, None, :, None]
            return self.right(q, kv, mask)

    for layer in model.decoder:
        layer.sa = OnQueries(layer.sa)

    def remember(module: Any, args: Any, named: dict[str, Tensor]) -> None:
        for layer in model.decoder:
            layer.sa.ids = named["y"]

    model.register_forward_pre_hook(remember, with_kwargs=True)
    report = doctor(model)
    assert [d.fault for d in report.departures] == ["padding-mask-on-queries"]
    assert "NaN" in report.departures[0].evidence

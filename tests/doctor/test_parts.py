"""The doctor on a single part of a model, which is put into the paper's model."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from transformer.doctor.capture import PARTS, CaptureError, capture
from transformer.doctor.examine import examine
from transformer.doctor.recording import PARTS as READ
from transformer.errors import CheckpointError
from transformer.interop.captured.convert import import_capture


class Attention(nn.Module):
    def __init__(self, d: int = 12, heads: int = 3, axis: int = -1) -> None:
        super().__init__()
        self.heads, self.axis = heads, axis
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None) -> Any:
        b, d = len(query), query.shape[-1]
        q, k, v = (
            f(x).view(b, -1, self.heads, d // self.heads).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        scores = q @ k.mT / math.sqrt(d // self.heads)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        weights = scores.softmax(self.axis)
        return self.o((weights @ v).transpose(1, 2).reshape(b, -1, d)), weights


class SelfAttention(Attention):
    """Self-attention without a mask, which returns no weights, as one user wrote it."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        out: Tensor = super().forward(x, x, x)[0]
        return out


class Positions(nn.Module):
    def __init__(self, d: int = 12, power: float = 1.0, adds: bool = True) -> None:
        super().__init__()
        angle = torch.arange(60)[:, None] / 10000 ** (power * torch.arange(0, d, 2) / d)
        self.register_buffer("table", torch.stack([angle.sin(), angle.cos()], -1).flatten(1))
        self.adds, self.drop = adds, nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        table: Any = self.table
        return self.drop(x + table[: x.size(1)]) if self.adds else table[None, : x.size(1)]


class Network(nn.Module):
    def __init__(self, active: bool = True) -> None:
        super().__init__()
        self.a, self.b, self.active = nn.Linear(12, 30), nn.Linear(30, 12), active

    def forward(self, x: Tensor) -> Tensor:
        inner = self.a(x)
        out: Tensor = self.b(inner.relu() if self.active else inner)
        return out


class EncoderLayer(nn.Module):
    def __init__(self, residual: bool = True) -> None:
        super().__init__()
        self.attention, self.network, self.residual = Attention(), Network(), residual
        self.one, self.two = nn.LayerNorm(12), nn.LayerNorm(12)

    def forward(self, x: Tensor, src_mask: Tensor) -> Tensor:
        seen = self.attention(x, x, x, src_mask)[0]
        x = self.one(x + seen if self.residual else seen)
        out: Tensor = self.two(x + self.network(x) if self.residual else self.network(x))
        return out


class DecoderLayer(nn.Module):
    def __init__(self, masked: bool = True) -> None:
        super().__init__()
        self.own, self.cross, self.network = Attention(), Attention(), Network()
        self.norms, self.masked = nn.ModuleList(nn.LayerNorm(12) for _ in range(3)), masked

    def forward(self, y: Tensor, memory: Tensor, src_mask: Tensor, tgt_mask: Tensor) -> Tensor:
        y = self.norms[0](y + self.own(y, y, y, tgt_mask if self.masked else None)[0])
        y = self.norms[1](y + self.cross(y, memory, memory, src_mask)[0])
        out: Tensor = self.norms[2](y + self.network(y))
        return out


class Encoder(nn.Module):
    """An encoder that contains its embedding, as most do."""

    def __init__(self, scaled: bool = True) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(40, 12), Positions()
        self.root = math.sqrt(12) if scaled else 1.0
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(2))

    def forward(self, src: Tensor, mask: Tensor) -> Tensor:
        x = self.positions(self.embedding(src) * self.root)
        for layer in self.layers:
            x = layer(x, mask)
        return x


RIGHT: dict[str, tuple[str, nn.Module]] = {
    "attention": ("attention", Attention()),
    "self-attention without masks": ("attention", SelfAttention()),
    "positions": ("positions", Positions()),
    "positions that are to be added": ("positions", Positions(adds=False)),
    "feed-forward": ("feed-forward", Network()),
    "encoder-layer": ("encoder-layer", EncoderLayer()),
    "decoder-layer": ("decoder-layer", DecoderLayer()),
    "encoder": ("encoder", Encoder()),
}
WRONG: dict[str, tuple[str, nn.Module, str]] = {
    "softmax over heads": ("attention", SelfAttention(axis=1), "softmax-over-heads"),
    "2i": ("positions", Positions(power=2.0), "positions-wrong-formula"),
    "no activation": ("feed-forward", Network(active=False), "no-activation"),
    "no residual": ("encoder-layer", EncoderLayer(residual=False), "no-residual"),
    "no causal mask": ("decoder-layer", DecoderLayer(masked=False), "no-causal-mask"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_part_is_equal(name: str) -> None:
    part, module = RIGHT[name]
    report = examine(capture(module, part=part))
    assert report.verdict == "equal", report.text()
    assert report.sentence().startswith(f"Your {part}, in the paper's model")
    assert report.to_dict()["model"] == type(module).__name__


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_part_is_told(name: str) -> None:
    part, module, fault = WRONG[name]
    report = examine(capture(module, part=part))
    assert fault in [d.fault for d in report.departures], report.text()
    assert report.to_dict()["part"] == part


def test_a_part_is_no_checkpoint() -> None:
    with pytest.raises(CheckpointError, match="feed-forward alone"):
        import_capture(capture(Network(), part="feed-forward"))


def test_what_cannot_be_called_is_told() -> None:
    with pytest.raises(CaptureError, match=r"The attention could not be called.*--width"):
        capture(nn.Bilinear(3, 4, 5), part="attention")
    with pytest.raises(CaptureError, match="no part 'head'"):
        capture(Network(), part="head")
    assert set(READ) == {"", *PARTS}

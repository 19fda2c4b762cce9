from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Settings:
    source_size: int = 43
    target_size: int = 49
    width: int = 40
    heads: int = 4
    hidden: int = 80
    depth: int = 2
    pad: int = 0
    eps: float = 1e-5


@dataclass
class Output:
    logits: torch.Tensor
    memory: torch.Tensor
    attention: list[torch.Tensor] = field(default_factory=list)


def concatenated_sines(length: int, width: int) -> torch.Tensor:
    wave = 1.0 / 10000 ** (torch.arange(0, width, 2).double() / width)
    angle = torch.outer(torch.arange(length).double(), wave)
    return torch.cat((angle.sin(), angle.cos()), dim=1)


class Attention(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        self.s = s
        self.into = nn.Linear(s.width, s.width, bias=True)
        self.across = nn.Linear(s.width, 2 * s.width, bias=True)
        self.out = nn.Linear(s.width, s.width, bias=True)

    def forward(self, *, asking, asked, visible):
        b, t, w = asking.shape
        h, k = self.s.heads, w // self.s.heads
        q = self.into(asking).reshape(b, t, h, k)
        kk, v = self.across(asked).reshape(b, asked.shape[1], 2, h, k).unbind(2)
        s = torch.einsum("bthk,bshk->bhts", q, kk) * k**-0.5
        s = s.masked_fill(visible.logical_not(), torch.finfo(s.dtype).min)
        p = F.softmax(s, dim=-1)
        return self.out(torch.einsum("bhts,bshk->bthk", p, v).reshape(b, t, w)), p


class Residual(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        self.norm = nn.LayerNorm(s.width, eps=s.eps)

    def forward(self, x, update):
        return self.norm(x.add(update))


class Layer(nn.Module):
    def __init__(self, s: Settings, crosses: bool):
        super().__init__()
        self.look = Attention(s)
        self.cross = Attention(s) if crosses else None
        self.think = nn.Sequential(
            nn.Linear(s.width, s.hidden), nn.ReLU(), nn.Linear(s.hidden, s.width)
        )
        self.residuals = nn.ModuleDict(
            {n: Residual(s) for n in ("look", "cross", "think") if crosses or n != "cross"}
        )

    def forward(self, x, *, visible, memory=None, source=None):
        update, p = self.look(asking=x, asked=x, visible=visible)
        x = self.residuals["look"](x, update)
        if self.cross is not None:
            update, p = self.cross(asking=x, asked=memory, visible=source)
            x = self.residuals["cross"](x, update)
        return self.residuals["think"](x, self.think(x)), p


class Seq2SeqTransformer(nn.Module):
    def __init__(self, settings: Settings):
        super().__init__()
        self.settings = s = settings
        self.embed_source = nn.Embedding(s.source_size, s.width)
        self.embed_target = nn.Embedding(s.target_size, s.width)
        self.encoder = nn.ModuleList(Layer(s, False) for _ in range(s.depth))
        self.decoder = nn.ModuleList(Layer(s, True) for _ in range(s.depth))
        self.to_words = nn.Linear(s.width, s.target_size)

    def _embed(self, ids, table):
        x = table(ids) * math.sqrt(self.settings.width)
        return x + concatenated_sines(ids.shape[-1], self.settings.width).to(x.dtype)

    def forward(self, *, source_ids: torch.Tensor, target_ids: torch.Tensor) -> Output:
        seen = source_ids.ne(self.settings.pad)[:, None, None, :]
        n = target_ids.shape[-1]
        past = torch.ones(n, n, dtype=torch.bool).tril()[None, None]
        x = self._embed(source_ids, self.embed_source)
        for layer in self.encoder:
            x, _ = layer(x, visible=seen)
        y, kept = self._embed(target_ids, self.embed_target), []
        for layer in self.decoder:
            y, p = layer(y, visible=past, memory=x, source=seen)
            kept.append(p)
        return Output(logits=self.to_words(y), memory=x, attention=kept)


def build():
    torch.manual_seed(13)
    return Seq2SeqTransformer(Settings())

import math

import torch
from torch import nn


class DistributedWrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


def split_heads(x, h):
    b, t, d = x.shape
    return x.view(b, t, h, d // h).transpose(1, 2).reshape(b * h, t, d // h)


def merge_heads(x, h):
    bh, t, dk = x.shape
    return x.view(bh // h, h, t, dk).transpose(1, 2).reshape(bh // h, t, h * dk)


class Attn(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h, self.w = h, nn.ModuleList([nn.Linear(d, d) for _ in range(4)])

    def forward(self, a, b, blocked):
        q, k, v = (split_heads(f(z), self.h) for f, z in zip(self.w, (a, b, b)))
        s = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(q.shape[-1])
        s = s.masked_fill(blocked.repeat_interleave(self.h, 0), -1e9)
        return self.w[3](merge_heads(torch.bmm(s.softmax(2), v), self.h))


class EL(nn.Module):
    def __init__(self, d, h, f):
        super().__init__()
        self.att, self.ff = Attn(d, h), nn.Sequential(nn.Linear(d, f), nn.ReLU(), nn.Linear(f, d))
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x, m):
        n = self.ln1(x)
        x = x + self.att(n, n, m)
        return x + self.ff(self.ln2(x))


class DL(nn.Module):
    def __init__(self, d, h, f):
        super().__init__()
        self.att, self.src, self.ff = (
            Attn(d, h),
            Attn(d, h),
            nn.Sequential(nn.Linear(d, f), nn.ReLU(), nn.Linear(f, d)),
        )
        self.ln1, self.ln2, self.ln3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, y, mem, m, mm):
        n = self.ln1(y)
        y = y + self.att(n, n, m)
        y = y + self.src(self.ln2(y), mem, mm)
        return y + self.ff(self.ln3(y))


class T(nn.Module):
    def __init__(self, v1, v2, d=48, h=6, f=96, n=2):
        super().__init__()
        self.d = d
        self.e1, self.e2 = nn.Embedding(v1, d), nn.Embedding(v2, d)
        nn.init.normal_(self.e1.weight, std=d**-0.5)
        nn.init.normal_(self.e2.weight, std=d**-0.5)
        self.enc, self.dec = (
            nn.ModuleList([EL(d, h, f) for _ in range(n)]),
            nn.ModuleList([DL(d, h, f) for _ in range(n)]),
        )
        self.nenc, self.ndec = nn.LayerNorm(d), nn.LayerNorm(d)
        self.lin = nn.Linear(d, v2)
        p, i = torch.arange(256.0)[:, None], torch.arange(0, d, 2)
        pe = torch.zeros(256, d)
        pe[:, i], pe[:, i + 1] = torch.sin(p / 10000 ** (i / d)), torch.cos(p / 10000 ** (i / d))
        self.register_buffer("pe", pe)

    def forward(self, src, tgt):
        b, s = src.shape
        t = tgt.shape[1]
        pad = src == 0
        x = self.e1(src) + self.pe[:s]
        for layer in self.enc:
            x = layer(x, pad[:, None].expand(b, s, s))
        x = self.nenc(x)
        y = self.e2(tgt) + self.pe[:t]
        causal = torch.ones(t, t, dtype=torch.bool).triu(1).expand(b, t, t)
        for layer in self.dec:
            y = layer(y, x, causal, pad[:, None].expand(b, t, s))
        return self.lin(self.ndec(y))


def build():
    torch.manual_seed(16)
    return DistributedWrapper(T(44, 48))

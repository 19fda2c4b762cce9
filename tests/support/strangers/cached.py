"""Decoder that keeps keys and values between calls; call reset() before a new sentence."""

import math

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h, self.dk = h, d // h
        self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.cache = {}

    def reset(self):
        self.cache = {}

    def heads(self, t):
        return t.view(*t.shape[:2], self.h, self.dk).transpose(1, 2)

    def forward(self, x, memory=None, mask=None, incremental=False):
        q = self.heads(self.q(x))
        if memory is not None:
            if "static" not in self.cache or not incremental:
                self.cache["static"] = self.heads(self.k(memory)), self.heads(self.v(memory))
            k, v = self.cache["static"]
        else:
            k, v = self.heads(self.k(x)), self.heads(self.v(x))
            if incremental and "past" in self.cache:
                pk, pv = self.cache["past"]
                k, v = torch.cat([pk, k], 2), torch.cat([pv, v], 2)
            self.cache["past"] = k, v
        s = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.dk)
        if mask is not None:
            s = s.masked_fill(~mask, -1e9)
        z = torch.matmul(torch.softmax(s, -1), v)
        return self.o(z.transpose(1, 2).reshape(x.shape))


class Layer(nn.Module):
    def __init__(self, d, h, f, cross):
        super().__init__()
        self.att = Attention(d, h)
        self.norm_att = nn.LayerNorm(d)
        if cross:
            self.cross, self.norm_cross = Attention(d, h), nn.LayerNorm(d)
        self.has_cross = cross
        self.up, self.down, self.norm_ff = nn.Linear(d, f), nn.Linear(f, d), nn.LayerNorm(d)

    def forward(self, x, mask, memory=None, memory_mask=None, incremental=False):
        x = x + self.att(self.norm_att(x), mask=mask, incremental=incremental)
        if self.has_cross:
            x = x + self.cross(self.norm_cross(x), memory, memory_mask, incremental)
        return x + self.down(self.up(self.norm_ff(x)).relu())


class CachedTransformer(nn.Module):
    def __init__(self, n_src, n_tgt, d=32, h=4, f=80, n=3, pad=0):
        super().__init__()
        self.pad, self.d = pad, d
        self.src, self.tgt = nn.Embedding(n_src, d), nn.Embedding(n_tgt, d)
        self.encoder = nn.ModuleList([Layer(d, h, f, False) for _ in range(n)])
        self.decoder = nn.ModuleList([Layer(d, h, f, True) for _ in range(n)])
        self.enc_ln, self.dec_ln = nn.LayerNorm(d), nn.LayerNorm(d)
        self.proj = nn.Linear(d, n_tgt)
        self.steps = 0

    def reset(self):
        self.steps = 0
        for m in self.modules():
            if isinstance(m, Attention):
                m.reset()

    def sines(self, start, n, x):
        inv = torch.exp(torch.arange(0, self.d, 2, dtype=x.dtype) * (-math.log(10000.0) / self.d))
        a = torch.arange(start, start + n, dtype=x.dtype).unsqueeze(1) * inv
        return torch.stack((a.sin(), a.cos()), 2).view(n, self.d)

    def encode(self, src):
        keep = (src != self.pad)[:, None, None]
        x = self.src(src) * math.sqrt(self.d)
        x = x + self.sines(0, src.size(1), x)
        for layer in self.encoder:
            x = layer(x, keep)
        return self.enc_ln(x), keep

    def decode(self, tgt, memory, keep, incremental=False):
        start = self.steps if incremental else 0
        y = self.tgt(tgt) * math.sqrt(self.d)
        n = tgt.size(1)
        y = y + self.sines(start, n, y)
        mask = None if incremental else torch.ones(n, n, dtype=torch.bool).tril()
        for layer in self.decoder:
            y = layer(y, mask, memory, keep, incremental)
        self.steps = start + n
        return self.proj(self.dec_ln(y))

    def forward(self, src, tgt):
        self.reset()
        memory, keep = self.encode(src)
        return self.decode(tgt, memory, keep)


def build():
    torch.manual_seed(18)
    return CachedTransformer(57, 59)

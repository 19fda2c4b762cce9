import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class MyAttention(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d, d) for _ in range(4))

    def forward(self, q, kv, mask):
        q, k, v = (
            w(t).unflatten(-1, (self.h, -1)).transpose(1, 2)
            for w, t in ((self.wq, q), (self.wk, kv), (self.wv, kv))
        )
        s = q @ k.mT / math.sqrt(q.size(-1))
        return self.wo(
            (s.masked_fill(~mask, -torch.inf).softmax(-1) @ v).transpose(1, 2).flatten(2)
        )


class MyDecoderLayer(nn.Module):
    def __init__(self, d, h, f):
        super().__init__()
        self.sa, self.ca = MyAttention(d, h), MyAttention(d, h)
        self.l1, self.l2 = nn.Linear(d, f), nn.Linear(f, d)
        self.n = nn.ModuleList([nn.LayerNorm(d) for _ in range(3)])

    def forward(self, y, mem, causal, keep):
        y = self.n[0](y + self.sa(y, y, causal))
        y = self.n[1](y + self.ca(y, mem, keep))
        return self.n[2](y + self.l2(F.relu(self.l1(y))))


class Mixed(nn.Module):
    """PyTorch's encoder, my decoder."""

    def __init__(self, vs=46, vt=39, d=64, h=8, f=96, n=2):
        super().__init__()
        self.d = d
        self.se, self.te = nn.Embedding(vs, d), nn.Embedding(vt, d)
        layer = nn.TransformerEncoderLayer(d, h, f, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, n)
        self.decoder = nn.ModuleList([MyDecoderLayer(d, h, f) for _ in range(n)])
        self.out = nn.Linear(d, vt)
        pe = torch.zeros(1, 100, d)
        w = torch.exp(torch.arange(0, d, 2) * (-math.log(1e4) / d))
        pe[0, :, ::2] = torch.sin(torch.arange(100)[:, None] * w)
        pe[0, :, 1::2] = torch.cos(torch.arange(100)[:, None] * w)
        self.register_buffer("pe", pe)

    def forward(self, x, y):
        pad = x == 0
        m = self.encoder(
            self.se(x) * math.sqrt(self.d) + self.pe[:, : x.shape[1]], src_key_padding_mask=pad
        )
        n = y.shape[1]
        causal = torch.ones(n, n, dtype=torch.bool, device=y.device).tril()
        y = self.te(y) * math.sqrt(self.d) + self.pe[:, :n]
        for layer in self.decoder:
            y = layer(y, m, causal, ~pad[:, None, None])
        return self.out(y)


def build():
    torch.manual_seed(10)
    return Mixed()

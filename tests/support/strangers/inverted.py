import math

import torch
import torch.nn as nn


class Attention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads, self.dh = heads, hidden // heads
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.dense = nn.Linear(hidden, hidden)

    def forward(self, x, y, hidden_mask=None):
        """hidden_mask is True where one must NOT look."""

        def heads(t):
            b, n, _ = t.shape
            return t.reshape(b, n, self.heads, self.dh).permute(0, 2, 1, 3)

        q, k, v = heads(self.query(x)), heads(self.key(y)), heads(self.value(y))
        logits = q.matmul(k.permute(0, 1, 3, 2)).div(math.sqrt(self.dh))
        if hidden_mask is not None:
            floor = torch.full_like(logits, torch.finfo(logits.dtype).min)
            logits = torch.where(hidden_mask, floor, logits)
        z = torch.softmax(logits, -1).matmul(v)
        return self.dense(z.permute(0, 2, 1, 3).reshape(x.shape))


class Enc(nn.Module):
    def __init__(self, hidden, heads, inner):
        super().__init__()
        self.a = Attention(hidden, heads)
        self.na, self.nf = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.f = nn.Sequential(
            nn.Linear(hidden, inner), nn.ReLU(inplace=True), nn.Linear(inner, hidden)
        )

    def forward(self, x, hide):
        x = self.na(x + self.a(x, x, hide))
        return self.nf(x + self.f(x))


class Dec(nn.Module):
    def __init__(self, hidden, heads, inner):
        super().__init__()
        self.a, self.c = Attention(hidden, heads), Attention(hidden, heads)
        self.na, self.nc, self.nf = nn.LayerNorm(hidden), nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.f = nn.Sequential(
            nn.Linear(hidden, inner), nn.ReLU(inplace=True), nn.Linear(inner, hidden)
        )

    def forward(self, y, memory, future):
        y = self.na(y + self.a(y, y, future))
        y = self.nc(y + self.c(y, memory))
        return self.nf(y + self.f(y))


class Seq2Seq(nn.Module):
    def __init__(self, vocab, hidden=36, heads=3, inner=72, layers=2):
        super().__init__()
        self.hidden = hidden
        self.emb = nn.Embedding(vocab, hidden, padding_idx=0)
        self.enc = nn.ModuleList([Enc(hidden, heads, inner) for _ in range(layers)])
        self.dec = nn.ModuleList([Dec(hidden, heads, inner) for _ in range(layers)])
        self.head = nn.Linear(hidden, vocab)

    def place(self, n, like):
        p = torch.arange(n, dtype=like.dtype)[:, None]
        f = 10000 ** (-torch.arange(0, self.hidden, 2, dtype=like.dtype) / self.hidden)
        out = torch.zeros(n, self.hidden, dtype=like.dtype)
        out[:, 0::2], out[:, 1::2] = torch.sin(p * f), torch.cos(p * f)
        return out

    def forward(self, src, tgt):
        hide = (src == 0)[:, None, None, :]
        n = tgt.size(1)
        future = ~torch.tril(torch.ones((n, n), dtype=torch.bool))
        x = self.emb(src) * self.hidden**0.5
        x = x + self.place(src.size(1), x)
        for layer in self.enc:
            x = layer(x, hide)
        y = self.emb(tgt) * self.hidden**0.5
        y = y + self.place(n, y)
        for layer in self.dec:
            y = layer(y, x, future)
        return self.head(y)


def build():
    torch.manual_seed(9)
    return Seq2Seq(51)

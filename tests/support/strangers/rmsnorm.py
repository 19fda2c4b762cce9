import math

import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x):
        return self._norm(x) * self.weight


class Attn(nn.Module):
    def __init__(self, dim, n_heads):
        super().__init__()
        self.n_heads, self.head_dim = n_heads, dim // n_heads
        self.wq = nn.Linear(dim, dim, bias=False)
        self.wk = nn.Linear(dim, dim, bias=False)
        self.wv = nn.Linear(dim, dim, bias=False)
        self.wo = nn.Linear(dim, dim, bias=False)

    def forward(self, x, kv, mask):
        b, n, _ = x.shape
        m = kv.shape[1]
        xq = self.wq(x).view(b, n, self.n_heads, self.head_dim).transpose(1, 2)
        xk = self.wk(kv).view(b, m, self.n_heads, self.head_dim).transpose(1, 2)
        xv = self.wv(kv).view(b, m, self.n_heads, self.head_dim).transpose(1, 2)
        scores = torch.matmul(xq, xk.transpose(2, 3)) / math.sqrt(self.head_dim)
        scores = scores + mask
        scores = torch.softmax(scores, dim=-1)
        return self.wo(torch.matmul(scores, xv).transpose(1, 2).contiguous().view(b, n, -1))


class Block(nn.Module):
    def __init__(self, dim, heads, hidden, cross):
        super().__init__()
        self.attention = Attn(dim, heads)
        self.attention_norm = RMSNorm(dim)
        if cross:
            self.cross = Attn(dim, heads)
            self.cross_norm = RMSNorm(dim)
        self.w1 = nn.Linear(dim, hidden)
        self.w2 = nn.Linear(hidden, dim)
        self.ffn_norm = RMSNorm(dim)

    def forward(self, x, mask, mem=None, mem_mask=None):
        h = self.attention_norm(x)
        x = x + self.attention(h, h, mask)
        if mem is not None:
            x = x + self.cross(self.cross_norm(x), mem, mem_mask)
        return x + self.w2(torch.relu(self.w1(self.ffn_norm(x))))


class Model(nn.Module):
    def __init__(self, vocab=50, dim=32, heads=4, hidden=64, layers=2):
        super().__init__()
        self.tok_embeddings = nn.Embedding(vocab, dim)
        self.enc = nn.ModuleList([Block(dim, heads, hidden, False) for _ in range(layers)])
        self.dec = nn.ModuleList([Block(dim, heads, hidden, True) for _ in range(layers)])
        self.enc_norm, self.norm = RMSNorm(dim), RMSNorm(dim)
        self.output = nn.Linear(dim, vocab, bias=False)
        self.dim = dim

    def sin(self, n):
        d = self.dim
        k = torch.exp(torch.arange(0, d, 2).float() * (-math.log(10000.0) / d))
        a = torch.arange(n).float()[:, None] * k[None]
        return torch.stack((torch.sin(a), torch.cos(a)), dim=-1).reshape(n, d)

    def forward(self, src, tgt):
        x = self.tok_embeddings(src) * math.sqrt(self.dim)
        x = x + self.sin(src.shape[1]).to(x)
        pad = torch.zeros(src.shape, dtype=x.dtype).masked_fill(src == 0, float("-inf"))[
            :, None, None, :
        ]
        for b in self.enc:
            x = b(x, pad)
        x = self.enc_norm(x)
        y = self.tok_embeddings(tgt) * math.sqrt(self.dim)
        y = y + self.sin(tgt.shape[1]).to(y)
        n = tgt.shape[1]
        causal = torch.full((n, n), float("-inf"), dtype=x.dtype).triu(1)
        for b in self.dec:
            y = b(y, causal, x, pad)
        return self.output(self.norm(y))


def build():
    torch.manual_seed(11)
    return Model()

"""Written on top of nn.MultiheadAttention, whose weights are kept for a plot."""

import math

import torch
import torch.nn as nn

PAD = 0


class PositionalEncoding(nn.Module):
    def __init__(self, dim, dropout=0.1, maxlen=200):
        super().__init__()
        den = torch.exp(-torch.arange(0, dim, 2) * math.log(10000) / dim)
        pos = torch.arange(0, maxlen).reshape(maxlen, 1)
        pe = torch.zeros((maxlen, dim))
        pe[:, 0::2] = torch.sin(pos * den)
        pe[:, 1::2] = torch.cos(pos * den)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("pe", pe.unsqueeze(0))

    def forward(self, x):
        return self.dropout(x + self.pe[:, : x.size(1)])


class EncLayer(nn.Module):
    def __init__(self, dim, heads, ff, p):
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads, dropout=p, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(dim, ff), nn.ReLU(), nn.Dropout(p), nn.Linear(ff, dim))
        self.n1, self.n2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.drop = nn.Dropout(p)

    def forward(self, x, key_padding_mask):
        h, w = self.attn(
            x,
            x,
            x,
            key_padding_mask=key_padding_mask,
            need_weights=True,
            average_attn_weights=False,
        )
        x = self.n1(x + self.drop(h))
        return self.n2(x + self.drop(self.ff(x))), w


class DecLayer(nn.Module):
    def __init__(self, dim, heads, ff, p):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(dim, heads, dropout=p, batch_first=True)
        self.src_attn = nn.MultiheadAttention(dim, heads, dropout=p, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(dim, ff), nn.ReLU(), nn.Dropout(p), nn.Linear(ff, dim))
        self.n1, self.n2, self.n3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.drop = nn.Dropout(p)

    def forward(self, y, mem, causal, mem_pad):
        h, w1 = self.self_attn(
            y, y, y, attn_mask=causal, need_weights=True, average_attn_weights=False
        )
        y = self.n1(y + self.drop(h))
        h, w2 = self.src_attn(
            y, mem, mem, key_padding_mask=mem_pad, need_weights=True, average_attn_weights=False
        )
        y = self.n2(y + self.drop(h))
        return self.n3(y + self.drop(self.ff(y))), w1, w2


class Translator(nn.Module):
    def __init__(self, n_src, n_tgt, dim=64, heads=4, layers=2, ff=128, p=0.1):
        super().__init__()
        self.dim = dim
        self.src_tok = nn.Embedding(n_src, dim, padding_idx=PAD)
        self.tgt_tok = nn.Embedding(n_tgt, dim, padding_idx=PAD)
        self.pos = PositionalEncoding(dim, p)
        self.enc = nn.ModuleList([EncLayer(dim, heads, ff, p) for _ in range(layers)])
        self.dec = nn.ModuleList([DecLayer(dim, heads, ff, p) for _ in range(layers)])
        self.out = nn.Linear(dim, n_tgt)
        self.attention_maps = {}
        for w in self.parameters():
            if w.dim() > 1:
                nn.init.xavier_uniform_(w)

    def forward(self, src, tgt):
        pad = src == PAD
        causal = torch.triu(
            torch.ones(tgt.size(1), tgt.size(1), dtype=torch.bool, device=tgt.device), diagonal=1
        )
        maps = {"enc": [], "dec": [], "cross": []}
        x = self.pos(self.src_tok(src) * math.sqrt(self.dim))
        for layer in self.enc:
            x, w = layer(x, pad)
            maps["enc"].append(w.detach())
        y = self.pos(self.tgt_tok(tgt) * math.sqrt(self.dim))
        for layer in self.dec:
            y, w1, w2 = layer(y, x, causal, pad)
            maps["dec"].append(w1.detach())
            maps["cross"].append(w2.detach())
        self.attention_maps = maps
        return self.out(y)


def build():
    torch.manual_seed(1)
    return Translator(60, 70)

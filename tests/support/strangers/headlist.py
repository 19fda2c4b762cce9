import math

import torch
from torch import nn


class Head(nn.Module):
    """One attention head (eq. 1)"""

    def __init__(self, d_model, d_k):
        super().__init__()
        self.W_q = nn.Linear(d_model, d_k)
        self.W_k = nn.Linear(d_model, d_k)
        self.W_v = nn.Linear(d_model, d_k)
        self.d_k = d_k

    def forward(self, q, k, v, mask):
        q, k, v = self.W_q(q), self.W_k(k), self.W_v(v)
        scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(self.d_k)
        scores = scores.masked_fill(mask == 0, -1e9)
        return torch.bmm(torch.softmax(scores, dim=-1), v)


class MultiHead(nn.Module):
    def __init__(self, d_model, h):
        super().__init__()
        self.heads = nn.ModuleList([Head(d_model, d_model // h) for _ in range(h)])
        self.W_o = nn.Linear(d_model, d_model)

    def forward(self, q, k, v, mask):
        return self.W_o(torch.cat([head(q, k, v, mask) for head in self.heads], dim=-1))


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff, dropout):
        super().__init__()
        self.linear_1 = nn.Linear(d_model, d_ff)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.linear_2 = nn.Linear(d_ff, d_model)

    def forward(self, x):
        x = self.linear_1(x)
        x = self.dropout(x)
        x = self.linear_2(x)
        return x


class EncoderLayer(nn.Module):
    def __init__(self, d_model, h, d_ff, dropout):
        super().__init__()
        self.mha = MultiHead(d_model, h)
        self.ffn = FeedForward(d_model, d_ff, dropout)
        self.norm1 = nn.LayerNorm(d_model, eps=1e-6)
        self.norm2 = nn.LayerNorm(d_model, eps=1e-6)

    def forward(self, x, mask):
        x = self.norm1(x + self.mha(x, x, x, mask))
        return self.norm2(x + self.ffn(x))


class DecoderLayer(nn.Module):
    def __init__(self, d_model, h, d_ff, dropout):
        super().__init__()
        self.mha1 = MultiHead(d_model, h)
        self.mha2 = MultiHead(d_model, h)
        self.ffn = FeedForward(d_model, d_ff, dropout)
        self.norm1 = nn.LayerNorm(d_model, eps=1e-6)
        self.norm2 = nn.LayerNorm(d_model, eps=1e-6)
        self.norm3 = nn.LayerNorm(d_model, eps=1e-6)

    def forward(self, x, enc, look_ahead_mask, padding_mask):
        x = self.norm1(x + self.mha1(x, x, x, look_ahead_mask))
        x = self.norm2(x + self.mha2(x, enc, enc, padding_mask))
        return self.norm3(x + self.ffn(x))


class Transformer(nn.Module):
    def __init__(
        self, src_vocab, tgt_vocab, d_model=32, h=4, N=2, d_ff=64, max_len=100, dropout=0.1
    ):
        super().__init__()
        self.d_model = d_model
        self.src_embed = nn.Embedding(src_vocab, d_model)
        self.tgt_embed = nn.Embedding(tgt_vocab, d_model)
        pe = torch.zeros(max_len, d_model)
        for pos in range(max_len):
            for i in range(0, d_model, 2):
                pe[pos, i] = math.sin(pos / 10000 ** (i / d_model))
                pe[pos, i + 1] = math.cos(pos / 10000 ** (i / d_model))
        self.pe = nn.Parameter(pe, requires_grad=False)
        self.encoder = nn.ModuleList([EncoderLayer(d_model, h, d_ff, dropout) for _ in range(N)])
        self.decoder = nn.ModuleList([DecoderLayer(d_model, h, d_ff, dropout) for _ in range(N)])
        self.generator = nn.Linear(d_model, tgt_vocab)

    def encode(self, src, src_mask):
        x = self.src_embed(src) * math.sqrt(self.d_model) + self.pe[: src.shape[1]]
        for layer in self.encoder:
            x = layer(x, src_mask)
        return x

    def decode(self, tgt, memory, src_mask, tgt_mask):
        x = self.tgt_embed(tgt) * math.sqrt(self.d_model) + self.pe[: tgt.shape[1]]
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask, src_mask)
        return x

    def forward(self, src, tgt, src_mask, tgt_mask):
        return self.generator(self.decode(tgt, self.encode(src, src_mask), src_mask, tgt_mask))


def make_masks(src, tgt, pad=0):
    src_mask = (src != pad).unsqueeze(1)
    n = tgt.shape[1]
    tgt_mask = (tgt != pad).unsqueeze(1) & torch.tril(torch.ones(1, n, n)).bool().to(tgt.device)
    return src_mask, tgt_mask


def build():
    torch.manual_seed(5)
    return Transformer(40, 44)

import math

import torch
import torch.nn as nn


class MHA(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.in_proj = nn.Linear(n_embd, 3 * n_embd)
        self.proj = nn.Linear(n_embd, n_embd)

    def forward(self, q, kv, mask):
        w, b = self.in_proj.weight.chunk(3), self.in_proj.bias.chunk(3)
        q, k, v = (nn.functional.linear(x, w[i], b[i]) for i, x in enumerate((q, kv, kv)))
        B = q.shape[0]
        q, k, v = (t.view(B, t.shape[1], self.n_head, -1).movedim(2, 1) for t in (q, k, v))
        att = q @ k.movedim(-1, -2) / math.sqrt(q.shape[-1]) + mask
        return self.proj((att.softmax(-1) @ v).movedim(1, 2).flatten(2))


class Encoder(nn.Module):
    def __init__(self, layer, N):
        super().__init__()
        self.layers = nn.ModuleList([layer] * N)

    def forward(self, x, mask):
        for layer in self.layers:
            x = layer(x, mask)
        return x


class Decoder(Encoder):
    def forward(self, y, x, causal, mask):
        for layer in self.layers:
            y = layer(y, x, causal, mask)
        return y


class EncLayer(nn.Module):
    def __init__(self, d, h, f):
        super().__init__()
        self.attn = MHA(d, h)
        self.lin1, self.lin2 = nn.Linear(d, f), nn.Linear(f, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x, mask):
        x = self.norm1(x + self.attn(x, x, mask))
        return self.norm2(x + self.lin2(torch.relu(self.lin1(x))))


class DecLayer(nn.Module):
    def __init__(self, d, h, f):
        super().__init__()
        self.attn, self.cross = MHA(d, h), MHA(d, h)
        self.lin1, self.lin2 = nn.Linear(d, f), nn.Linear(f, d)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, y, x, causal, mask):
        y = self.norm1(y + self.attn(y, y, causal))
        y = self.norm2(y + self.cross(y, x, mask))
        return self.norm3(y + self.lin2(torch.relu(self.lin1(y))))


class Model(nn.Module):
    def __init__(self, src_vocab=41, tgt_vocab=37, d=32, h=2, f=64, N=3):
        super().__init__()
        self.d = d
        self.src_emb = nn.Embedding(src_vocab, d)
        self.tgt_emb = nn.Embedding(tgt_vocab, d)
        self.encoder = Encoder(EncLayer(d, h, f), N)
        self.decoder = Decoder(DecLayer(d, h, f), N)
        self.final = nn.Linear(d, tgt_vocab)

    def pos(self, x):
        pos = torch.arange(x.size(1), dtype=x.dtype).view(-1, 1)
        i = torch.arange(self.d, dtype=torch.long)
        rate = 1 / torch.pow(torch.tensor(10000.0, dtype=x.dtype), (2 * (i // 2)) / self.d)
        ang = pos * rate
        return x + torch.where(i % 2 == 0, ang.sin(), ang.cos())

    def forward(self, src, tgt):
        x = self.pos(self.src_emb(src) * math.sqrt(self.d))
        mask = torch.zeros(src.size(), dtype=x.dtype).masked_fill(src == 0, -1e9)[:, None, None]
        n = tgt.size(1)
        causal = torch.zeros(n, n, dtype=x.dtype).masked_fill(torch.ones(n, n).triu(1) == 1, -1e9)
        y = self.pos(self.tgt_emb(tgt) * math.sqrt(self.d))
        return self.final(self.decoder(y, self.encoder(x, mask), causal, mask))


def build():
    torch.manual_seed(21)
    return Model()

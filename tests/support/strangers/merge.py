import torch
import torch.nn as nn


class SelfAttention(nn.Module):
    def __init__(self, emb, heads):
        super().__init__()
        self.emb, self.heads = emb, heads
        self.toqueries = nn.Linear(emb, emb, bias=False)
        self.tokeys = nn.Linear(emb, emb, bias=False)
        self.tovalues = nn.Linear(emb, emb, bias=False)
        self.unifyheads = nn.Linear(emb, emb)

    def forward(self, x, ctx, mask):
        b, t, e = x.size()
        c = ctx.size(1)
        h = self.heads
        s = e // h
        queries = self.toqueries(x).view(b, t, h, s).transpose(1, 2).contiguous().view(b * h, t, s)
        keys = self.tokeys(ctx).view(b, c, h, s).transpose(1, 2).contiguous().view(b * h, c, s)
        values = self.tovalues(ctx).view(b, c, h, s).transpose(1, 2).contiguous().view(b * h, c, s)
        queries = queries / (s ** (1 / 4))
        keys = keys / (s ** (1 / 4))
        dot = torch.bmm(queries, keys.transpose(1, 2))
        dot = dot.view(b, h, t, c).masked_fill(mask == 0, float("-inf")).view(b * h, t, c)
        dot = torch.softmax(dot, dim=2)
        out = torch.bmm(dot, values).view(b, h, t, s)
        out = out.contiguous().view(b, t, s * h)
        return self.unifyheads(out)


class Block(nn.Module):
    def __init__(self, emb, heads, cross, hidden_mult=4):
        super().__init__()
        self.attention = SelfAttention(emb, heads)
        self.norm1, self.norm2 = nn.LayerNorm(emb), nn.LayerNorm(emb)
        self.cross = cross
        if cross:
            self.cross_attention, self.norm_cross = SelfAttention(emb, heads), nn.LayerNorm(emb)
        self.ff = nn.Sequential(
            nn.Linear(emb, hidden_mult * emb), nn.ReLU(), nn.Linear(hidden_mult * emb, emb)
        )

    def forward(self, x, mask, ctx=None, ctx_mask=None):
        x = self.norm1(self.attention(x, x, mask) + x)
        if self.cross:
            x = self.norm_cross(self.cross_attention(x, ctx, ctx_mask) + x)
        return self.norm2(self.ff(x) + x)


class Seq2Seq(nn.Module):
    def __init__(self, emb=32, heads=4, depth=2, num_tokens=48, seq_length=64):
        super().__init__()
        self.token_embedding = nn.Embedding(num_tokens, emb)
        self.pos_embedding = nn.Embedding(seq_length, emb)
        self.enc = nn.ModuleList([Block(emb, heads, False) for _ in range(depth)])
        self.dec = nn.ModuleList([Block(emb, heads, True) for _ in range(depth)])
        self.toprobs = nn.Linear(emb, num_tokens)

    def embed(self, x):
        tokens = self.token_embedding(x)
        b, t, e = tokens.size()
        return tokens + self.pos_embedding(torch.arange(t))[None, :, :].expand(b, t, e)

    def forward(self, x, y):
        pad = (x != 0)[:, None, None, :]
        t = y.size(1)
        tri = torch.tril(torch.ones(t, t))[None, None]
        h = self.embed(x)
        for block in self.enc:
            h = block(h, pad)
        z = self.embed(y)
        for block in self.dec:
            z = block(z, tri, h, pad)
        return torch.log_softmax(self.toprobs(z), dim=2)


def build():
    torch.manual_seed(20)
    return Seq2Seq()

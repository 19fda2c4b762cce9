"""Everything is (time, batch, channel)."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class LayerNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, x):
        mu = x.mean(-1, keepdim=True)
        var = x.var(-1, unbiased=False, keepdim=True)
        return self.gain * (x - mu) * torch.rsqrt(var + self.eps) + self.bias


class MultiheadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.scaling = self.head_dim**-0.5
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, query, key, key_padding_mask=None, attn_mask=None):
        T, B, C = query.shape
        S = key.size(0)
        q = self.q_proj(query) * self.scaling
        k = self.k_proj(key)
        v = self.v_proj(key)
        q = q.contiguous().view(T, B * self.num_heads, self.head_dim).transpose(0, 1)
        k = k.contiguous().view(S, B * self.num_heads, self.head_dim).transpose(0, 1)
        v = v.contiguous().view(S, B * self.num_heads, self.head_dim).transpose(0, 1)
        if attn_mask is not None:
            w = torch.baddbmm(attn_mask.unsqueeze(0), q, k.transpose(1, 2))
        else:
            w = torch.bmm(q, k.transpose(1, 2))
        if key_padding_mask is not None:
            w = w.view(B, self.num_heads, T, S)
            w = w.masked_fill(key_padding_mask.unsqueeze(1).unsqueeze(2), float("-inf"))
            w = w.view(B * self.num_heads, T, S)
        w = F.softmax(w, dim=-1)
        out = torch.bmm(w, v).transpose(0, 1).contiguous().view(T, B, C)
        return self.out_proj(out)


class EncoderLayer(nn.Module):
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.self_attn = MultiheadAttention(dim, heads)
        self.self_attn_layer_norm = LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, ffn), nn.Linear(ffn, dim)
        self.final_layer_norm = LayerNorm(dim)

    def forward(self, x, pad):
        residual = x
        x = self.self_attn_layer_norm(residual + self.self_attn(x, x, key_padding_mask=pad))
        residual = x
        x = self.fc2(F.relu(self.fc1(x)))
        return self.final_layer_norm(residual + x)


class DecoderLayer(nn.Module):
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.self_attn = MultiheadAttention(dim, heads)
        self.self_attn_layer_norm = LayerNorm(dim)
        self.encoder_attn = MultiheadAttention(dim, heads)
        self.encoder_attn_layer_norm = LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, ffn), nn.Linear(ffn, dim)
        self.final_layer_norm = LayerNorm(dim)

    def forward(self, x, enc, pad, future):
        x = self.self_attn_layer_norm(x + self.self_attn(x, x, attn_mask=future))
        x = self.encoder_attn_layer_norm(x + self.encoder_attn(x, enc, key_padding_mask=pad))
        return self.final_layer_norm(x + self.fc2(F.relu(self.fc1(x))))


class Seq2Seq(nn.Module):
    def __init__(self, src_vocab, tgt_vocab, dim=48, heads=4, ffn=100, layers=2, pad=1):
        super().__init__()
        self.pad, self.dim = pad, dim
        self.src_emb = nn.Embedding(src_vocab, dim, padding_idx=pad)
        self.tgt_emb = nn.Embedding(tgt_vocab, dim, padding_idx=pad)
        self.enc = nn.ModuleList([EncoderLayer(dim, heads, ffn) for _ in range(layers)])
        self.dec = nn.ModuleList([DecoderLayer(dim, heads, ffn) for _ in range(layers)])
        self.output_projection = nn.Linear(dim, tgt_vocab, bias=False)
        half = dim // 2
        freq = torch.exp(torch.arange(half) * -(math.log(10000) / half))
        ang = torch.arange(300).unsqueeze(1) * freq.unsqueeze(0)
        self.register_buffer(
            "sines", torch.cat([ang.sin(), ang.cos()], 1).unsqueeze(1), persistent=False
        )

    def forward(self, src, tgt):  # src (S, B), tgt (T, B)
        pad = src.eq(self.pad).t()
        future = torch.triu(
            src.new_full((tgt.size(0), tgt.size(0)), float("-inf"), dtype=self.sines.dtype), 1
        )
        x = math.sqrt(self.dim) * self.src_emb(src) + self.sines[: src.size(0)]
        for layer in self.enc:
            x = layer(x, pad)
        y = math.sqrt(self.dim) * self.tgt_emb(tgt) + self.sines[: tgt.size(0)]
        for layer in self.dec:
            y = layer(y, x, pad, future)
        return self.output_projection(y)


def build():
    torch.manual_seed(6)
    return Seq2Seq(47, 53)

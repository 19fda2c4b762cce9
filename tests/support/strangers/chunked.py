"""One linear map for queries, keys and values; GELU by its tanh formula, written out."""

import math
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F


@dataclass
class Config:
    src_vocab: int = 50
    tgt_vocab: int = 52
    block_size: int = 64
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 32
    pdrop: float = 0.1


class Gelu(nn.Module):
    def forward(self, x):
        inner = 0.7978845608028654 * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + inner.tanh())


class SelfAttention(nn.Module):
    def __init__(self, config, causal):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.pdrop)
        self.resid_dropout = nn.Dropout(config.pdrop)
        self.causal, self.n_head, self.n_embd = causal, config.n_head, config.n_embd
        if causal:
            tril = torch.tril(torch.ones(config.block_size, config.block_size))
            self.register_buffer("bias", tril.view(1, 1, config.block_size, config.block_size))

    def forward(self, x, pad=None):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).chunk(3, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        if self.causal:
            att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
        if pad is not None:
            att = att.masked_fill(pad[:, None, None, :], float("-inf"))
        att = F.softmax(att, dim=-1)
        y = self.attn_dropout(att) @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))


class CrossAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_q = nn.Linear(config.n_embd, config.n_embd)
        self.c_kv = nn.Linear(config.n_embd, 2 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.n_head = config.n_head

    def forward(self, x, memory, pad):
        B, T, C = x.size()
        S = memory.size(1)
        q = self.c_q(x).view(B, T, self.n_head, -1).transpose(1, 2)
        k, v = (
            t.view(B, S, self.n_head, -1).transpose(1, 2) for t in self.c_kv(memory).chunk(2, dim=2)
        )
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = F.softmax(att.masked_fill(pad[:, None, None, :], float("-inf")), dim=-1)
        return self.c_proj((att @ v).transpose(1, 2).contiguous().view(B, T, C))


def mlp(config):
    return nn.ModuleDict(
        dict(
            c_fc=nn.Linear(config.n_embd, 4 * config.n_embd),
            c_proj=nn.Linear(4 * config.n_embd, config.n_embd),
            act=Gelu(),
            dropout=nn.Dropout(config.pdrop),
        )
    )


class Block(nn.Module):
    def __init__(self, config, decoder):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = SelfAttention(config, causal=decoder)
        if decoder:
            self.ln_c = nn.LayerNorm(config.n_embd)
            self.cross = CrossAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = mlp(config)
        m = self.mlp
        self.mlpf = lambda x: m.dropout(m.c_proj(m.act(m.c_fc(x))))

    def forward(self, x, memory=None, pad=None):
        if memory is None:
            x = x + self.attn(self.ln_1(x), pad)
        else:
            x = x + self.attn(self.ln_1(x))
            x = x + self.cross(self.ln_c(x), memory, pad)
        return x + self.mlpf(self.ln_2(x))


class GPTSeq2Seq(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        side = lambda vocab, decoder: nn.ModuleDict(
            dict(
                wte=nn.Embedding(vocab, config.n_embd),
                wpe=nn.Embedding(config.block_size, config.n_embd),
                drop=nn.Dropout(config.pdrop),
                h=nn.ModuleList([Block(config, decoder) for _ in range(config.n_layer)]),
                ln_f=nn.LayerNorm(config.n_embd),
            )
        )
        self.encoder = side(config.src_vocab, False)
        self.decoder = side(config.tgt_vocab, True)
        self.lm_head = nn.Linear(config.n_embd, config.tgt_vocab, bias=False)

    def forward(self, idx, tgt_idx, targets=None):
        pad = idx == 0
        e, d = self.encoder, self.decoder
        pos = torch.arange(0, idx.size(1), dtype=torch.long, device=idx.device).unsqueeze(0)
        x = e.drop(e.wte(idx) + e.wpe(pos))
        for block in e.h:
            x = block(x, pad=pad)
        x = e.ln_f(x)
        pos = torch.arange(0, tgt_idx.size(1), dtype=torch.long, device=idx.device).unsqueeze(0)
        y = d.drop(d.wte(tgt_idx) + d.wpe(pos))
        for block in d.h:
            y = block(y, x, pad)
        logits = self.lm_head(d.ln_f(y))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(
                logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=0
            )
        return logits, loss


def build():
    torch.manual_seed(4)
    return GPTSeq2Seq(Config())

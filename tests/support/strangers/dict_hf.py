import math

import torch
from torch import nn


class SinPos(nn.Module):
    def __init__(self, d_model, max_len=128):
        super().__init__()
        pe = torch.zeros(max_len, d_model)
        for pos in range(max_len):
            for i in range(0, d_model, 2):
                pe[pos, i] = math.sin(pos / (10000 ** ((2 * i) / d_model)))
                pe[pos, i + 1] = math.cos(pos / (10000 ** ((2 * (i + 1)) / d_model)))
        self.register_buffer("pe", pe[None], persistent=False)

    def forward(self, n):
        return self.pe[:, :n]


class Attn(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        d = cfg["d_model"]
        self.h = cfg["num_heads"]
        self.q, self.k, self.v, self.o = (
            nn.Linear(d, d),
            nn.Linear(d, d),
            nn.Linear(d, d),
            nn.Linear(d, d),
        )

    def shape(self, t):
        return t.view(t.size(0), t.size(1), self.h, -1).transpose(1, 2)

    def forward(self, hidden_states, key_value_states=None, attention_mask=None):
        kv = hidden_states if key_value_states is None else key_value_states
        q, k, v = self.shape(self.q(hidden_states)), self.shape(self.k(kv)), self.shape(self.v(kv))
        scores = torch.matmul(q, k.transpose(3, 2)) / math.sqrt(q.size(-1))
        if attention_mask is not None:
            scores = scores + attention_mask
        probs = nn.functional.softmax(scores, dim=-1)
        ctx = torch.matmul(probs, v).transpose(1, 2).contiguous()
        return self.o(ctx.view(ctx.size(0), ctx.size(1), -1))


class Layer(nn.Module):
    def __init__(self, cfg, is_decoder=False):
        super().__init__()
        d = cfg["d_model"]
        self.is_decoder = is_decoder
        self.self_attn = Attn(cfg)
        self.self_norm = nn.LayerNorm(d, eps=cfg["eps"])
        if is_decoder:
            self.cross_attn = Attn(cfg)
            self.cross_norm = nn.LayerNorm(d, eps=cfg["eps"])
        self.wi, self.wo = nn.Linear(d, cfg["d_ff"]), nn.Linear(cfg["d_ff"], d)
        self.ff_norm = nn.LayerNorm(d, eps=cfg["eps"])

    def forward(self, h, mask, enc=None, enc_mask=None):
        h = self.self_norm(h + self.self_attn(h, attention_mask=mask))
        if self.is_decoder:
            h = self.cross_norm(h + self.cross_attn(h, enc, enc_mask))
        return self.ff_norm(h + self.wo(nn.functional.relu(self.wi(h))))


class MyTransformerForConditionalGeneration(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.config = cfg
        self.shared = nn.Embedding(
            cfg["vocab_size"], cfg["d_model"], padding_idx=cfg["pad_token_id"]
        )
        self.positions = SinPos(cfg["d_model"])
        self.encoder = nn.ModuleList([Layer(cfg) for _ in range(cfg["layers"])])
        self.decoder = nn.ModuleList([Layer(cfg, True) for _ in range(cfg["layers"])])
        self.lm_head = nn.Linear(cfg["d_model"], cfg["vocab_size"], bias=False)
        self.lm_head.weight = self.shared.weight
        nn.init.normal_(self.shared.weight, std=0.3)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        labels=None,
        return_dict=True,
    ):
        if attention_mask is None:
            attention_mask = input_ids.ne(self.config["pad_token_id"])
        scale = math.sqrt(self.config["d_model"])
        h = self.shared(input_ids) * scale
        h = h + self.positions(input_ids.size(1)).to(h.dtype)
        ext = (1.0 - attention_mask[:, None, None, :].to(h.dtype)) * -1e9
        for layer in self.encoder:
            h = layer(h, ext)
        y = self.shared(decoder_input_ids) * scale
        n = decoder_input_ids.size(1)
        y = y + self.positions(n).to(y.dtype)
        causal = torch.triu(torch.full((n, n), -1e9, dtype=y.dtype), diagonal=1)
        for layer in self.decoder:
            y = layer(y, causal, h, ext)
        logits = self.lm_head(y)
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(
                logits.view(-1, logits.size(-1)), labels.view(-1), ignore_index=-100
            )
        if not return_dict:
            return (loss, logits)
        return {"loss": loss, "logits": logits, "encoder_last_hidden_state": h}


def build():
    torch.manual_seed(14)
    return MyTransformerForConditionalGeneration(
        dict(vocab_size=61, d_model=48, num_heads=4, d_ff=96, layers=2, eps=1e-6, pad_token_id=0)
    )

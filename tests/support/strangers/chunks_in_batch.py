"""Heads are put into the batch with chunk + cat, and the masks are repeated in another order."""

import torch
import torch.nn as nn


class multihead_attention(nn.Module):
    def __init__(self, num_units, num_heads):
        super().__init__()
        self.num_units, self.num_heads = num_units, num_heads
        self.Q_proj = nn.Sequential(nn.Linear(num_units, num_units))
        self.K_proj = nn.Sequential(nn.Linear(num_units, num_units))
        self.V_proj = nn.Sequential(nn.Linear(num_units, num_units))
        self.out_proj = nn.Linear(num_units, num_units)
        self.normalization = nn.LayerNorm(num_units)

    def forward(self, queries, keys, values, key_masks, causality=False):
        Q, K, V = self.Q_proj(queries), self.K_proj(keys), self.V_proj(values)
        Q_ = torch.cat(torch.chunk(Q, self.num_heads, dim=2), dim=0)  # (h*N, T_q, C/h)
        K_ = torch.cat(torch.chunk(K, self.num_heads, dim=2), dim=0)
        V_ = torch.cat(torch.chunk(V, self.num_heads, dim=2), dim=0)
        outputs = torch.bmm(Q_, K_.permute(0, 2, 1))
        outputs = outputs / (K_.size()[-1] ** 0.5)
        masks = torch.repeat_interleave(key_masks, self.num_heads, dim=0)  # (h*N, T_k)
        masks = masks.unsqueeze(1).expand(-1, queries.size(1), -1)
        outputs = outputs.masked_fill(masks, -(2.0**32) + 1)
        if causality:
            tril = torch.tril(torch.ones_like(outputs[0]))
            outputs = torch.where(
                tril.unsqueeze(0).expand_as(outputs) == 0,
                torch.full_like(outputs, -(2.0**32) + 1),
                outputs,
            )
        outputs = torch.softmax(outputs, dim=-1)
        outputs = torch.bmm(outputs, V_)
        outputs = torch.cat(torch.chunk(outputs, self.num_heads, dim=0), dim=2)
        outputs = self.out_proj(outputs)
        outputs = outputs + queries
        return self.normalization(outputs)


class feedforward(nn.Module):
    def __init__(self, in_channels, units):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv1d(in_channels, units, kernel_size=1), nn.ReLU())
        self.conv2 = nn.Conv1d(units, in_channels, kernel_size=1)
        self.normalization = nn.LayerNorm(in_channels)

    def forward(self, inputs):
        outputs = self.conv2(self.conv1(inputs.permute(0, 2, 1))).permute(0, 2, 1)
        return self.normalization(outputs + inputs)


class AttModel(nn.Module):
    def __init__(self, enc_voc, dec_voc, hidden_units=32, num_blocks=2, num_heads=4, maxlen=60):
        super().__init__()
        self.num_blocks, self.hidden = num_blocks, hidden_units
        self.enc_emb = nn.Embedding(enc_voc, hidden_units)
        self.dec_emb = nn.Embedding(dec_voc, hidden_units)
        self.enc_pos = nn.Parameter(torch.randn(maxlen, hidden_units))
        self.dec_pos = nn.Parameter(torch.randn(maxlen, hidden_units))
        for i in range(num_blocks):
            setattr(self, "enc_self_attention_%d" % i, multihead_attention(hidden_units, num_heads))
            setattr(self, "enc_feed_forward_%d" % i, feedforward(hidden_units, 4 * hidden_units))
            setattr(self, "dec_self_attention_%d" % i, multihead_attention(hidden_units, num_heads))
            setattr(
                self, "dec_vanilla_attention_%d" % i, multihead_attention(hidden_units, num_heads)
            )
            setattr(self, "dec_feed_forward_%d" % i, feedforward(hidden_units, 4 * hidden_units))
        self.logits_layer = nn.Linear(hidden_units, dec_voc)

    def forward(self, x, y):
        src_masks = x.eq(0)
        none = torch.zeros_like(y).bool()
        enc = self.enc_emb(x) * self.hidden**0.5 + self.enc_pos[: x.size(1)]
        for i in range(self.num_blocks):
            enc = getattr(self, "enc_self_attention_%d" % i)(enc, enc, enc, src_masks)
            enc = getattr(self, "enc_feed_forward_%d" % i)(enc)
        dec = self.dec_emb(y) * self.hidden**0.5 + self.dec_pos[: y.size(1)]
        for i in range(self.num_blocks):
            dec = getattr(self, "dec_self_attention_%d" % i)(dec, dec, dec, none, causality=True)
            dec = getattr(self, "dec_vanilla_attention_%d" % i)(dec, enc, enc, src_masks)
            dec = getattr(self, "dec_feed_forward_%d" % i)(dec)
        return self.logits_layer(dec)


def build():
    torch.manual_seed(19)
    return AttModel(35, 36)

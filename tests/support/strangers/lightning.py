import math

import torch
import torch.nn.functional as F
from torch import nn, optim


class LightningModule(nn.Module):  # stand-in so that the file runs without pytorch_lightning
    def save_hyperparameters(self, **kw):
        self.hparams = type("HParams", (), kw)()

    def log(self, *a, **k):
        pass


class MHA(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.qkv = nn.ModuleDict({k: nn.Linear(d, d) for k in "qkv"})
        self.o = nn.Linear(d, d)

    def forward(self, x, y, mask):
        s = lambda t: t.view(t.shape[0], t.shape[1], self.h, -1).permute(0, 2, 1, 3)
        q, k, v = s(self.qkv["q"](x)), s(self.qkv["k"](y)), s(self.qkv["v"](y))
        a = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(q.shape[-1])
        a = F.softmax(a.masked_fill(mask == 0, -9e15), dim=-1)
        v = torch.einsum("bhqk,bhkd->bqhd", a, v)
        return self.o(v.reshape(v.shape[0], v.shape[1], -1))


class EncoderBlock(nn.Module):
    def __init__(self, d, h, f, p):
        super().__init__()
        self.attn = MHA(d, h)
        self.net = nn.Sequential(
            nn.Linear(d, f), nn.Dropout(p), nn.ReLU(inplace=True), nn.Linear(f, d)
        )
        self.norm1, self.norm2, self.dropout = nn.LayerNorm(d), nn.LayerNorm(d), nn.Dropout(p)

    def forward(self, x, mask):
        x = self.norm1(x + self.dropout(self.attn(x, x, mask)))
        return self.norm2(x + self.dropout(self.net(x)))


class DecoderBlock(nn.Module):
    def __init__(self, d, h, f, p):
        super().__init__()
        self.attn, self.cross = MHA(d, h), MHA(d, h)
        self.net = nn.Sequential(
            nn.Linear(d, f), nn.Dropout(p), nn.ReLU(inplace=True), nn.Linear(f, d)
        )
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = nn.Dropout(p)

    def forward(self, y, mem, mask, mem_mask):
        y = self.norm1(y + self.dropout(self.attn(y, y, mask)))
        y = self.norm2(y + self.dropout(self.cross(y, mem, mem_mask)))
        return self.norm3(y + self.dropout(self.net(y)))


class TransformerPredictor(LightningModule):
    def __init__(
        self, src_vocab, tgt_vocab, model_dim, num_heads, num_layers, lr, warmup, dropout=0.0
    ):
        super().__init__()
        self.save_hyperparameters(model_dim=model_dim, lr=lr, warmup=warmup)
        self.src_net = nn.Embedding(src_vocab, model_dim)
        self.tgt_net = nn.Embedding(tgt_vocab, model_dim)
        pe = torch.zeros(200, model_dim)
        pos = torch.arange(0, 200, dtype=torch.float).unsqueeze(1)
        div = torch.exp(torch.arange(0, model_dim, 2).float() * (-math.log(10000.0) / model_dim))
        pe[:, 0::2], pe[:, 1::2] = torch.sin(pos * div), torch.cos(pos * div)
        self.register_buffer("pe", pe.unsqueeze(0), persistent=False)
        self.encoder = nn.ModuleList(
            EncoderBlock(model_dim, num_heads, 2 * model_dim, dropout) for _ in range(num_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderBlock(model_dim, num_heads, 2 * model_dim, dropout) for _ in range(num_layers)
        )
        self.output_net = nn.Linear(model_dim, tgt_vocab)

    def masks(self, src, tgt):
        n = tgt.shape[1]
        return (src != 0).long()[:, None, None], torch.tril(
            torch.ones(n, n, device=tgt.device)
        ).long()[None, None]

    def forward(self, src, tgt):
        src_mask, tgt_mask = self.masks(src, tgt)
        c = math.sqrt(self.hparams.model_dim)
        memory = self.src_net(src) * c + self.pe[:, : src.shape[1]]
        for block in self.encoder:
            memory = block(memory, src_mask)
        dec_in = self.tgt_net(tgt) * c + self.pe[:, : tgt.shape[1]]
        for block in self.decoder:
            dec_out = block(dec_in, memory, tgt_mask, src_mask)
        return self.output_net(dec_out)

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=self.hparams.lr)

    def training_step(self, batch, batch_idx):
        src, tgt = batch
        logits = self(src, tgt[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tgt[:, 1:].flatten(), ignore_index=0)
        self.log("train_loss", loss)
        return loss


def build():
    torch.manual_seed(15)
    return TransformerPredictor(42, 45, 32, 4, 2, 1e-3, 50)

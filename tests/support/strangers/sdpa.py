import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MHA(nn.Module):
    """Attention through the fused kernel."""

    def __init__(self, d_model: int, n_head: int, dropout: float = 0.0, bias: bool = False):
        super().__init__()
        assert d_model % n_head == 0
        self.n_head, self.dropout = n_head, dropout
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.kv_proj = nn.Linear(d_model, 2 * d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)

    def forward(
        self, x: Tensor, ctx: Tensor | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        ctx = x if ctx is None else ctx
        B, T, C = x.shape
        S = ctx.size(1)
        q = self.q_proj(x).view(B, T, self.n_head, -1).transpose(1, 2)
        k, v = self.kv_proj(ctx).split(C, dim=-1)
        k = k.view(B, S, self.n_head, -1).transpose(1, 2)
        v = v.view(B, S, self.n_head, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        return self.o_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class MLP(nn.Module):
    def __init__(self, d_model, mult=4):
        super().__init__()
        self.fc = nn.Linear(d_model, mult * d_model)
        self.proj = nn.Linear(mult * d_model, d_model)

    def forward(self, x):
        return self.proj(F.gelu(self.fc(x)))


class EncoderBlock(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn, self.mlp = MHA(d, h), MLP(d)

    def forward(self, x, mask):
        x = x + self.attn(self.ln_1(x), mask=mask)
        return x + self.mlp(self.ln_2(x))


class DecoderBlock(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.ln_1, self.ln_x, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn, self.xattn, self.mlp = MHA(d, h), MHA(d, h), MLP(d)

    def forward(self, y, memory, mask):
        y = y + self.attn(self.ln_1(y), causal=True)
        y = y + self.xattn(self.ln_x(y), memory, mask=mask)
        return y + self.mlp(self.ln_2(y))


class EncDec(nn.Module):
    def __init__(self, vocab=64, d=48, h=6, n_layer=2, block_size=128, pad_token_id=0):
        super().__init__()
        self.pad_token_id = pad_token_id
        self.wte = nn.Embedding(vocab, d)
        self.wpe_enc = nn.Embedding(block_size, d)
        self.wpe_dec = nn.Embedding(block_size, d)
        self.encoder = nn.ModuleList(EncoderBlock(d, h) for _ in range(n_layer))
        self.decoder = nn.ModuleList(DecoderBlock(d, h) for _ in range(n_layer))
        self.ln_enc, self.ln_dec = nn.LayerNorm(d), nn.LayerNorm(d)
        self.lm_head = nn.Linear(d, vocab, bias=False)
        self.lm_head.weight = self.wte.weight
        self.apply(self._init)

    def _init(self, m):
        if isinstance(m, (nn.Linear, nn.Embedding)):
            nn.init.normal_(m.weight, std=0.02)

    def forward(self, idx_src: Tensor, idx_tgt: Tensor):
        mask = idx_src.ne(self.pad_token_id)[:, None, None, :]
        dev = idx_src.device
        x = self.wte(idx_src) + self.wpe_enc(torch.arange(idx_src.size(1), device=dev))
        for block in self.encoder:
            x = block(x, mask)
        x = self.ln_enc(x)
        y = self.wte(idx_tgt) + self.wpe_dec(torch.arange(idx_tgt.size(1), device=dev))
        for block in self.decoder:
            y = block(y, x, mask)
        return self.lm_head(self.ln_dec(y))


def build():
    torch.manual_seed(2)
    return EncDec()

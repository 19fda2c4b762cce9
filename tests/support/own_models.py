"""Encoder-decoders as different people write them: the same function in many styles.

A style is a set of switches, each a habit found in people's code. With any switches except ``bug``
the model computes the same as the paper's; ``bug`` plants a mistake as people make it.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAD, BOS = 0, 1
SOURCE, TARGET = 31, 37

DEFAULTS: dict[str, Any] = {
    "qkv": "separate",  # fused, per head, einsum, shifted, buffer, kv
    "attend": "matmul",  # einsum, sdpa, added mask, by hand, filled, turned
    "norm": "torch",  # by hand, functional, var_mean, annotated
    "order": "post",  # pre
    "final": False,
    "ff": "linear",  # conv, matmul, sequential
    "act": "relu",  # gelu, silu
    "positions": "buffer",  # computed, looked up, learned, halves
    "embed": "module",  # raw
    "call": "ids",  # masks, halves, flat, dict, time, shift, log
    "layers": 2,
    "d": 24,
    "heads": 4,
    "bias": True,
    "bug": "",
}


class Normal(nn.Module):
    def __init__(self, d: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.g, self.b = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "functional":
            return F.layer_norm(x, (x.shape[-1],), self.g, self.b, 1e-6)
        if self.kind == "var_mean":
            v, m = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
            return self.g * ((x - m) / torch.sqrt(v + 1e-5)) + self.b
        if self.kind == "annotated":
            return (
                self.g * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6) + self.b
            )
        mean = x.sum(-1, keepdim=True) / x.shape[-1]
        variance = ((x - mean) * (x - mean)).sum(-1, keepdim=True) / x.shape[-1]
        return (x - mean) * (variance + 1e-5) ** -0.5 * self.g + self.b


class Heads(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.c = c
        d, h = c["d"], c["heads"]
        self.h, self.k = h, d // h
        kind, bias = c["qkv"], c["bias"]
        if kind == "fused":
            self.qkv = nn.Linear(d, 3 * d, bias=bias)
        elif kind == "kv":
            self.to_q, self.to_kv = nn.Linear(d, d, bias=bias), nn.Linear(d, 2 * d, bias=bias)
        elif kind in ("per head", "buffer"):
            self.many = nn.ModuleList(
                nn.ModuleList(nn.Linear(d, self.k, bias=bias) for _ in range(3)) for _ in range(h)
            )
        elif kind == "einsum":
            self.q_w, self.k_w, self.v_w = (
                nn.Parameter(torch.randn(h, d, self.k) * d**-0.5) for _ in range(3)
            )
        elif kind == "shifted":  # x @ W + b, with transposed matrices
            self.w = nn.ParameterList(nn.Parameter(torch.randn(d, d) * d**-0.5) for _ in range(3))
            self.s = nn.ParameterList(nn.Parameter(torch.randn(d) * 0.1) for _ in range(3))
        else:
            self.fc_q, self.fc_k, self.fc_v = (nn.Linear(d, d, bias=bias) for _ in range(3))
        self.fc_o = nn.Linear(d, d)

    def cut(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.h, self.k).permute(0, 2, 1, 3)

    def project(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kind = self.c["qkv"]
        if kind == "fused":
            w, b = self.qkv.weight.chunk(3), [None] * 3
            if self.qkv.bias is not None:
                b = self.qkv.bias.chunk(3)  # type: ignore[assignment]
            if x is y:
                return tuple(self.cut(t) for t in self.qkv(x).chunk(3, -1))  # type: ignore[return-value]
            return tuple(self.cut(F.linear(t, w[i], b[i])) for i, t in enumerate((x, y, y)))  # type: ignore[return-value]
        if kind == "kv":
            k, v = self.to_kv(y).chunk(2, dim=-1)
            return self.cut(self.to_q(x)), self.cut(k), self.cut(v)
        if kind == "per head":
            return tuple(  # type: ignore[return-value]
                torch.stack([m[i](t) for m in self.many], 1)  # type: ignore[index]
                for i, t in enumerate((x, y, y))
            )
        if kind == "buffer":  # each head is written into a tensor allocated before
            made = []
            for i, t in enumerate((x, y, y)):
                room = torch.zeros(t.shape[0], self.h, t.shape[1], self.k)
                for n, m in enumerate(self.many):
                    room[:, n] = m[i](t)  # type: ignore[index]
                made.append(room)
            return made[0], made[1], made[2]
        if kind == "einsum":
            f = "btd,hdk->bhtk"
            return (
                torch.einsum(f, x, self.q_w),
                torch.einsum(f, y, self.k_w),
                torch.einsum(f, y, self.v_w),
            )
        if kind == "shifted":
            return tuple(  # type: ignore[return-value]
                self.cut(t @ w + s) for t, w, s in zip((x, y, y), self.w, self.s, strict=True)
            )
        return self.cut(self.fc_q(x)), self.cut(self.fc_k(y)), self.cut(self.fc_v(y))

    def forward(self, x: Tensor, y: Tensor, seen: Tensor) -> Tensor:
        bug, kind = self.c["bug"], self.c["attend"]
        q, k, v = self.project(x, y)
        root = math.sqrt(self.k)
        if bug == "no scale":
            root = 1.0
        if kind == "sdpa":
            z = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        elif kind == "einsum":
            e = torch.einsum("bhqk,bhtk->bhqt", q, k) / root
            a = F.softmax(e.masked_fill(seen == 0, float("-1e20")), dim=3)
            z = torch.einsum("bhqt,bhtk->bhqk", a, v)
        elif kind == "added mask":
            e = (q * root**-0.5) @ (k * root**-0.5).transpose(-1, -2)
            z = (e + torch.zeros(seen.shape).masked_fill_(~seen, -1e9)).softmax(-1) @ v
        elif kind == "by hand":
            e = torch.where(seen, q @ k.mT / root, torch.tensor(-1e30))
            e = torch.exp(e - e.max(-1, keepdim=True).values)
            z = (e / e.sum(-1, keepdim=True)) @ v
        elif kind == "turned":  # [batch, head, d_k, position], values are the left operand
            e = (q @ k.mT / root).masked_fill(~seen, -1e9).softmax(-1)
            z = (v.mT @ e.mT).mT
        else:
            e = torch.matmul(q, k.transpose(2, 3)) / root
            if kind == "filled":
                e.masked_fill_(seen.logical_not(), torch.finfo(e.dtype).min)
            else:
                e = e.masked_fill(~seen, -1e4 if bug == "weak" else -1e9)
            z = torch.matmul(torch.softmax(e, 2 if bug == "axis" else -1), v)
        if bug == "merge":
            return self.fc_o(z.reshape(x.shape[0], x.shape[1], -1))
        z = z.permute(0, 2, 1, 3).contiguous().view(x.shape[0], x.shape[1], -1)
        return z if bug == "no W^O" else self.fc_o(z)


class Wide(nn.Module):
    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.c, d, f = c, c["d"], 2 * c["d"] + 4
        act = {"relu": nn.ReLU(), "gelu": nn.GELU(), "silu": nn.SiLU()}[c["act"]]
        self.a: nn.Module
        self.z: nn.Module
        self.act = nn.Identity() if c["bug"] == "no activation" else act
        if c["ff"] == "conv":
            self.a, self.z = nn.Conv1d(d, f, 1), nn.Conv1d(f, d, 1)
        elif c["ff"] == "sequential":
            self.net = nn.Sequential(nn.Linear(d, f), self.act, nn.Dropout(0.1), nn.Linear(f, d))
        elif c["ff"] == "matmul":
            self.w1, self.w2 = (nn.Parameter(torch.randn(*s) * 0.2) for s in ((d, f), (f, d)))
            self.b1, self.b2 = nn.Parameter(torch.randn(f)), nn.Parameter(torch.randn(d))
        else:
            self.a, self.z = nn.Linear(d, f), nn.Linear(f, d)

    def forward(self, x: Tensor) -> Tensor:
        kind = self.c["ff"]
        if kind == "conv":
            return self.z(self.act(self.a(x.transpose(1, 2)))).transpose(1, 2)
        if kind == "sequential":
            return self.net(x)
        if kind == "matmul":
            return self.act(x @ self.w1 + self.b1) @ self.w2 + self.b2
        return self.z(self.act(self.a(x)))


class Layer(nn.Module):
    def __init__(self, c: dict[str, Any], cross: bool) -> None:
        super().__init__()
        self.c = c
        self.own = Heads(c)
        self.other = Heads(c) if cross else None
        self.ff = Wide(c)
        count = 3 if cross else 2
        made = (nn.LayerNorm(c["d"]) if c["norm"] == "torch" else Normal(c["d"], c["norm"])
                for _ in range(count))  # fmt: skip
        self.ln = nn.ModuleList(made)

    def around(self, n: int, x: Tensor, f: Any) -> Tensor:
        norm, bug = self.ln[n], self.c["bug"]
        if self.c["order"] == "pre":
            if bug == "residual":
                x = norm(x)
                return x + f(x)
            return x + f(norm(x))
        if bug == "norm inside":
            return x + norm(f(x))
        return norm(f(x)) if bug == "no residual" else norm(x + f(x))

    def forward(
        self, x: Tensor, seen: Tensor, memory: Tensor | None = None, look: Tensor | None = None
    ) -> Tensor:
        x = self.around(0, x, lambda t: self.own(t, t, seen))
        if self.other is not None:
            other = self.other
            read = x if self.c["bug"] == "reads itself" else memory
            mask = seen if self.c["bug"] == "reads itself" else look
            x = self.around(1, x, lambda t: other(t, t if read is x else read, mask))
        return self.around(-1, x, self.ff)


def waves(length: int, d: int, kind: str) -> Tensor:
    t, i = torch.arange(length).float().unsqueeze(1), torch.arange(0, d, 2).float()
    rate = torch.exp(i * (-math.log(1000.0 if kind == "base" else 10000.0) / d))
    s, c = torch.sin(t * rate), torch.cos(t * rate)
    if kind == "halves":
        return torch.cat([s, c], 1)
    table = torch.zeros(length, d)
    table[:, 0::2], table[:, 1::2] = s, c
    return table


class Own(nn.Module):
    """One implementation; DEFAULTS lists its switches."""

    def __init__(self, **style: Any) -> None:
        super().__init__()
        c = self.c = DEFAULTS | style
        d = c["d"]
        if c["embed"] == "raw":
            self.E, self.G = (
                nn.Parameter(torch.randn(SOURCE, d)),
                nn.Parameter(torch.randn(TARGET, d)),
            )
        else:
            self.src, self.trg = nn.Embedding(SOURCE, d, padding_idx=PAD), nn.Embedding(TARGET, d)
        if c["positions"] == "learned":
            self.where_s, self.where_t = nn.Embedding(50, d), nn.Parameter(torch.randn(1, 50, d))
        elif c["positions"] in ("buffer", "halves", "looked up"):
            kind = "base" if c["bug"] == "base" else c["positions"]
            self.register_buffer("pe", waves(50, d, kind).unsqueeze(0))
        self.enc = nn.ModuleList(Layer(c, False) for _ in range(c["layers"]))
        self.dec = nn.ModuleList(Layer(c, True) for _ in range(c["layers"]))
        if c["final"]:
            self.end_e, self.end_d = nn.LayerNorm(d), nn.LayerNorm(d)
        self.out = nn.Linear(d, TARGET)

    def enter(self, ids: Tensor, target: bool) -> Tensor:
        c = self.c
        if c["embed"] == "raw":
            x = (self.G if target else self.E)[ids]
        else:
            x = self.trg(ids) if target else self.src(ids)
        x = x if c["bug"] == "no root" else x * math.sqrt(c["d"])
        n = ids.shape[1]
        if c["bug"] == "no positions":
            return x
        if c["positions"] == "learned":
            return x + (self.where_t[:, :n] if target else self.where_s(torch.arange(n)))
        if c["positions"] == "computed":
            return x + waves(n, c["d"], "")
        if c["positions"] == "looked up":
            places = torch.arange(n).expand(ids.shape)
            return x + F.embedding(places, self.pe[0])  # type: ignore[index]
        return x + self.pe[:, :n]  # type: ignore[index]

    def encode(self, src: Tensor, src_mask: Tensor) -> Tensor:
        x = self.enter(src, False)
        for layer in self.enc:
            x = layer(x, src_mask)
        return self.end_e(x) if self.c["final"] else x

    def decode(self, memory: Tensor, src_mask: Tensor, tgt: Tensor, tgt_mask: Tensor) -> Tensor:
        y = self.enter(tgt, True)
        start = y
        for layer in self.dec:
            y = layer(start if self.c["bug"] == "same input" else y, tgt_mask, memory, src_mask)
        return self.end_d(y) if self.c["final"] else y

    def masks(self, src: Tensor, tgt: Tensor) -> tuple[Tensor, Tensor]:
        n, bug = tgt.shape[1], self.c["bug"]
        low = torch.tril(torch.ones(n, n), 1 if bug == "off by one" else 0).bool()
        low = torch.ones_like(low) if bug == "no mask" else low
        seen = (src != PAD).unsqueeze(1).unsqueeze(2)
        seen = torch.ones_like(seen) if bug == "no padding mask" else seen
        return seen, (tgt != PAD)[:, None, None, :] & low

    def whole(self, src: Tensor, tgt: Tensor) -> Tensor:
        s, t = self.masks(src, tgt)
        return self.out(self.decode(self.encode(src, s), s, tgt, t))

    def forward(self, src: Tensor, tgt: Tensor) -> Any:
        return self.whole(src, tgt)


class Masked(Own):
    def forward(self, src: Tensor, tgt: Tensor, src_mask: Tensor, tgt_mask: Tensor) -> Tensor:  # type: ignore[override]
        return self.out(self.decode(self.encode(src, src_mask), src_mask, tgt, tgt_mask))


class Halves(Own):
    """Has no ``forward``: only encode, decode and a separate generator."""

    forward = nn.Module.forward

    def __init__(self, **style: Any) -> None:
        super().__init__(**style)
        self.generator = self.out
        del self.out


class Flat(Own):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.whole(x, y).view(-1, TARGET)


class Dict(Own):
    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor) -> dict[str, Tensor]:
        return {"logits": self.whole(input_ids, decoder_input_ids), "other": torch.zeros(1)}


class Log(Own):
    def forward(self, source: Tensor, target: Tensor) -> tuple[Tensor, None]:
        return F.log_softmax(self.whole(source, target), dim=-1), None


class Time(Own):
    def forward(self, src: Tensor, trg: Tensor) -> Tensor:
        if src.shape[1] != trg.shape[1]:
            raise ValueError("the batch is the second axis")
        return self.whole(src.t(), trg.t()).transpose(0, 1)


class Shifting(Own):
    def forward(self, src: Tensor, trg: Tensor) -> Tensor:
        return self.whole(src, trg[:, :-1])


class Library(nn.Module):
    """PyTorch's own nn.Transformer inside a wrapper, with its keyword masks."""

    def __init__(self, norm_first: bool = False) -> None:
        super().__init__()
        self.src_emb, self.tgt_emb = nn.Embedding(SOURCE, 24), nn.Embedding(TARGET, 24)
        self.register_buffer("pe", waves(50, 24, ""))
        self.net = nn.Transformer(24, 4, 2, 2, 40, 0.1, batch_first=True, norm_first=norm_first)
        self.fc = nn.Linear(24, TARGET)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        n = tgt.shape[1]
        hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
        s, t = (e(i) * math.sqrt(24) + self.pe[: i.shape[1]]  # type: ignore[index]
                for e, i in ((self.src_emb, src), (self.tgt_emb, tgt)))  # fmt: skip
        pad = src == PAD
        return self.fc(
            self.net(s, t, tgt_mask=hidden, src_key_padding_mask=pad, memory_key_padding_mask=pad)
        )


CALLS = {"masks": Masked, "halves": Halves, "flat": Flat, "dict": Dict, "log": Log, "time": Time,
         "shift": Shifting}  # fmt: skip


def own(**style: Any) -> nn.Module:
    """A model in this style; random gains and biases, so that it matters where they are applied."""
    torch.manual_seed(3)
    kind = style.get("call", "ids")
    model = Library(**style["library"]) if "library" in style else CALLS.get(kind, Own)(**style)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model

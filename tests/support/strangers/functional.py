"""JAX style: parameters in a flat dict, the model is a function of them."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def norm(x, p, name):
    m = x.mean(-1, keepdim=True)
    v = ((x - m) ** 2).mean(-1, keepdim=True)
    return (x - m) / torch.sqrt(v + 1e-6) * p[name + "/scale"] + p[name + "/bias"]


def dense(x, p, name):
    return torch.tensordot(x, p[name + "/kernel"], dims=1) + p[name + "/bias"]


def attend(p, name, x, y, mask, heads):
    q, k, v = dense(x, p, name + "/query"), dense(y, p, name + "/key"), dense(y, p, name + "/value")
    q, k, v = (
        torch.stack(t.split(t.shape[-1] // heads, -1)) for t in (q, k, v)
    )  # [heads, batch, time, d]
    logits = torch.einsum("hbqd,hbkd->hbqk", q, k) / math.sqrt(q.shape[-1])
    logits = torch.where(mask, logits, torch.tensor(-1e10, dtype=logits.dtype))
    weights = torch.exp(logits - torch.logsumexp(logits, -1, keepdim=True))
    out = torch.einsum("hbqk,hbkd->hbqd", weights, v)
    return dense(torch.cat(out.unbind(0), -1), p, name + "/out")


def mlp(p, name, x):
    return dense(F.relu(dense(x, p, name + "/in")), p, name + "/out")


def positions(n, d, dtype):
    i = torch.arange(d // 2, dtype=dtype)
    a = torch.arange(n, dtype=dtype)[:, None] * torch.exp(-math.log(10000.0) * 2 * i / d)
    return torch.stack([a.sin(), a.cos()], -1).reshape(n, d)


def apply(p, cfg, src, tgt):
    d, h = cfg["d"], cfg["h"]
    keep = (src > 0)[:, None, :]
    x = p["embed/src"][src] * math.sqrt(d)
    x = x + positions(src.shape[1], d, x.dtype)
    for i in range(cfg["layers"]):
        x = norm(x + attend(p, f"enc{i}/self", x, x, keep, h), p, f"enc{i}/ln0")
        x = norm(x + mlp(p, f"enc{i}/mlp", x), p, f"enc{i}/ln1")
    y = p["embed/tgt"][tgt] * math.sqrt(d)
    y = y + positions(tgt.shape[1], d, y.dtype)
    causal = torch.ones(tgt.shape[1], tgt.shape[1]).tril() > 0
    for i in range(cfg["layers"]):
        y = norm(y + attend(p, f"dec{i}/self", y, y, causal, h), p, f"dec{i}/ln0")
        y = norm(y + attend(p, f"dec{i}/cross", y, x, keep, h), p, f"dec{i}/ln1")
        y = norm(y + mlp(p, f"dec{i}/mlp", y), p, f"dec{i}/ln2")
    return y @ p["embed/tgt"].T


def init(cfg):
    d, f, p = cfg["d"], cfg["f"], {}

    def linear(name, i, o):
        p[name + "/kernel"], p[name + "/bias"] = torch.randn(i, o) / math.sqrt(i), torch.zeros(o)

    p["embed/src"] = torch.randn(cfg["src"], d) / math.sqrt(d)
    p["embed/tgt"] = torch.randn(cfg["tgt"], d) / math.sqrt(d)
    for side, attns in (("enc", ("self",)), ("dec", ("self", "cross"))):
        for i in range(cfg["layers"]):
            for a in attns:
                for part in ("query", "key", "value", "out"):
                    linear(f"{side}{i}/{a}/{part}", d, d)
            linear(f"{side}{i}/mlp/in", d, f)
            linear(f"{side}{i}/mlp/out", f, d)
            for j in range(len(attns) + 1):
                p[f"{side}{i}/ln{j}/scale"], p[f"{side}{i}/ln{j}/bias"] = (
                    torch.ones(d),
                    torch.zeros(d),
                )
    return p


class Model(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.names = {k: k.replace("/", "__") for k in init(cfg)}
        self.store = nn.ParameterDict(
            {self.names[k]: nn.Parameter(v) for k, v in init(cfg).items()}
        )

    def forward(self, src, tgt):
        return apply({k: self.store[v] for k, v in self.names.items()}, self.cfg, src, tgt)


def build():
    torch.manual_seed(23)
    return Model(dict(src=39, tgt=43, d=32, h=4, f=64, layers=2))

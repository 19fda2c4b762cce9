# raw parameters and einsum, letters: n batch, a/b time, m model, u head, z channel of a head
import math

import torch
from torch import einsum, nn


class Att(nn.Module):
    def __init__(self, m, u):
        super().__init__()
        z = m // u
        self.m = m
        self.Q = nn.Parameter(torch.empty(m, u, z))
        self.K = nn.Parameter(torch.empty(m, u, z))
        self.V = nn.Parameter(torch.empty(m, u, z))
        self.O = nn.Parameter(torch.empty(u, z, m))
        for p in self.parameters():
            nn.init.normal_(p, std=m**-0.5)

    def forward(self, xa, xb, ok):
        q = einsum("nam,muz->nuaz", xa, self.Q)
        k = einsum("nbm,muz->nubz", xb, self.K)
        v = einsum("nbm,muz->nubz", xb, self.V)
        s = einsum("nuaz,nubz->nuab", q, k) / math.sqrt(self.m)
        s = s + torch.where(ok, 0.0, -1e9).to(s.dtype)
        w = s.softmax(-1)
        return einsum("nuab,nubz,uzm->nam", w, v, self.O)


class FF(nn.Module):
    def __init__(self, m, f):
        super().__init__()
        self.A = nn.Parameter(torch.randn(m, f) * m**-0.5)
        self.a = nn.Parameter(torch.zeros(f))
        self.B = nn.Parameter(torch.randn(f, m) * f**-0.5)
        self.b = nn.Parameter(torch.zeros(m))

    def forward(self, x):
        return (
            einsum("naf,fm->nam", (einsum("nam,mf->naf", x, self.A) + self.a).clamp(min=0), self.B)
            + self.b
        )


class Layer(nn.Module):
    def __init__(self, m, u, f, decoder=False):
        super().__init__()
        self.own = Att(m, u)
        self.other = Att(m, u) if decoder else None
        self.ff = FF(m, f)
        self.ln = nn.ModuleList(nn.LayerNorm(m) for _ in range(3 if decoder else 2))

    def forward(self, x, ok, mem=None, mem_ok=None):
        x = self.ln[0](x + self.own(x, x, ok))
        if self.other is not None:
            x = self.ln[1](x + self.other(x, mem, mem_ok))
        return self.ln[-1](x + self.ff(x))


class Net(nn.Module):
    def __init__(self, vs, vt, m=40, u=5, f=96, n=2):
        super().__init__()
        self.m = m
        self.es = nn.Embedding(vs, m)
        self.et = nn.Embedding(vt, m)
        for e in (self.es, self.et):
            nn.init.normal_(e.weight, std=m**-0.5)
        self.enc = nn.ModuleList(Layer(m, u, f) for _ in range(n))
        self.dec = nn.ModuleList(Layer(m, u, f, True) for _ in range(n))
        self.fin = nn.Parameter(torch.randn(m, vt) * m**-0.5)

    def pos(self, x):
        n = x.shape[1]
        i = torch.arange(self.m // 2, device=x.device, dtype=x.dtype)
        t = torch.arange(n, device=x.device, dtype=x.dtype)
        ang = einsum("a,z->az", t, 10000 ** (-2 * i / self.m))
        return x * self.m**0.5 + torch.stack([ang.sin(), ang.cos()], -1).flatten(1)

    def forward(self, src, tgt):
        ok = (src != 0)[:, None, None]
        tri = torch.arange(tgt.shape[1], device=tgt.device)
        tri = tri[:, None] >= tri
        x = self.pos(self.es(src))
        for l in self.enc:
            x = l(x, ok)
        y = self.pos(self.et(tgt))
        for l in self.dec:
            y = l(y, tri, x, ok)
        return einsum("nam,mv->nav", y, self.fin)


def build():
    torch.manual_seed(3)
    return Net(55, 45)

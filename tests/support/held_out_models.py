"""Correct and faulty encoder-decoders in three more styles, written after the doctor.

``Formulas`` has a dictionary of parameters instead of modules; ``Borrowed`` uses PyTorch's
attention in hand-written layers, time first; ``Flat`` folds heads into the batch. They are kept
apart from the models with which the doctor was developed.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SOURCE, TARGET, PAD = 29, 41, 0


class Formulas(nn.Module):
    """One function over named parameters: einsum everywhere, masks are added to the scores."""

    def __init__(
        self, d: int = 20, heads: int = 5, layers: int = 2, before: bool = False, bug: str = ""
    ) -> None:
        super().__init__()
        self.d, self.heads, self.depth, self.before, self.bug = d, heads, layers, before, bug
        made: dict[str, Tensor] = {"E": torch.randn(SOURCE, d), "G": torch.randn(TARGET, d)}
        for side, parts in (("e", "sf"), ("d", "scf")):
            for i in range(layers):
                for part in parts:
                    at = f"{side}{i}{part}"
                    made[f"{at}g"], made[f"{at}b"] = 1 + torch.randn(d) / 5, torch.randn(d) / 5
                    if part == "f":
                        made |= {f"{at}1": torch.randn(d, 3 * d) / 4, f"{at}1b": torch.randn(3 * d)}
                        made |= {f"{at}2": torch.randn(3 * d, d) / 4, f"{at}2b": torch.randn(d)}
                        continue
                    for which in "QKV":
                        made[at + which] = torch.randn(d, heads, d // heads) / 3
                    made[f"{at}O"] = torch.randn(heads, d // heads, d) / 3
        made["U"] = torch.randn(d, TARGET) / 4
        self.w = nn.ParameterDict(made)

    def norm(self, at: str, x: Tensor) -> Tensor:
        m = torch.einsum("btd->bt", x)[..., None] / self.d
        c = x - m
        v = torch.einsum("btd,btd->bt", c, c)[..., None] / self.d
        return torch.addcmul(self.w[f"{at}b"], c / torch.sqrt(v + 1e-5), self.w[f"{at}g"])

    def attend(self, at: str, x: Tensor, y: Tensor, bar: Tensor) -> Tensor:
        swapped = self.bug == "keys are values"
        to_keys, to_values = (self.w[at + one] for one in ("VK" if swapped else "KV"))
        first, second = (y, x) if self.bug == "asks the memory" and "c" in at else (x, y)
        q = torch.einsum("btd,dhk->bthk", first, self.w[f"{at}Q"]) / (self.d // self.heads) ** 0.25
        k = torch.einsum("btd,dhk->bthk", second, to_keys) / (self.d // self.heads) ** 0.25
        if self.bug == "asks the memory" and "c" in at:
            q, k = k, q
        v = torch.einsum("btd,dhk->bthk", y, to_values)
        a = torch.einsum("bqhk,bthk->bqth", q, k) + bar[..., None]
        a = torch.softmax(a, dim=3 if self.bug == "heads share" else 2)
        return torch.einsum("bqth,bthk,hkd->bqd", a, v, self.w[f"{at}O"])

    def network(self, at: str, x: Tensor) -> Tensor:
        h = torch.clamp(torch.einsum("btd,df->btf", x, self.w[f"{at}1"]) + self.w[f"{at}1b"], min=0)
        return torch.einsum("btf,fd->btd", h, self.w[f"{at}2"]) + self.w[f"{at}2b"]

    def around(self, at: str, x: Tensor, f: Any) -> Tensor:
        if self.before:
            return x + f(self.norm(at, x))
        if self.bug == "adds late":
            return self.norm(at, f(x)) + x
        return self.norm(at, x + f(x))

    def places(self, x: Tensor) -> Tensor:
        t = torch.arange(x.shape[1], dtype=x.dtype)
        rate = torch.pow(torch.tensor(1e4), torch.arange(self.d // 2) * 2 / self.d)
        turn = torch.polar(torch.ones(1), t[:, None].float() / rate)
        return x * self.d**0.5 + torch.stack([turn.imag, turn.real], -1).reshape(-1, self.d)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        hidden = torch.where(source == PAD, -1e30, 0.0)[:, None, :]
        n = target.shape[1]
        later = torch.full((n, n), -1e30).triu(0 if self.bug == "hides itself" else 1)
        if self.bug == "hides itself":
            later[0, 0] = 0.0
        x, y = self.places(self.w["E"][source]), self.places(self.w["G"][target])
        for i in range(self.depth):
            x = self.around(f"e{i}s", x, lambda t: self.attend(f"e{i}s", t, t, hidden))  # noqa: B023
            x = self.around(f"e{i}f", x, lambda t: self.network(f"e{i}f", t))  # noqa: B023
        for i in range(self.depth):
            y = self.around(f"d{i}s", y, lambda t: self.attend(f"d{i}s", t, t, later[None]))  # noqa: B023
            y = self.around(f"d{i}c", y, lambda t: self.attend(f"d{i}c", t, x, hidden))  # noqa: B023
            y = self.around(f"d{i}f", y, lambda t: self.network(f"d{i}f", t))  # noqa: B023
        return torch.einsum("btd,dv->btv", y, self.w["U"])


class BorrowedLayer(nn.Module):
    """nn.MultiheadAttention, time first, inside a hand-written layer."""

    def __init__(self, d: int, heads: int, cross: bool, before: bool) -> None:
        super().__init__()
        self.before = before
        self.watch = nn.MultiheadAttention(d, heads, dropout=0.1)
        self.ask = nn.MultiheadAttention(d, heads, dropout=0.1) if cross else None
        self.think = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.rms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3 if cross else 2))
        self.drop = nn.Dropout(0.2)

    def step(self, n: int, x: Tensor, f: Any) -> Tensor:
        if self.before:
            return x + self.drop(f(self.rms[n](x)))
        return self.rms[n](x + self.drop(f(x)))

    def forward(
        self, x: Tensor, late: Any = None, pad: Any = None, memory: Any = None, far: Any = None
    ) -> Tensor:
        x = self.step(
            0,
            x,
            lambda t: self.watch(t, t, t, attn_mask=late, key_padding_mask=pad, need_weights=False)[
                0
            ],
        )
        ask = self.ask
        if ask is not None:
            x = self.step(1, x, lambda t: ask(t, memory, memory, key_padding_mask=far)[0])
        return self.step(-1, x, self.think)


class Borrowed(nn.Module):
    def __init__(self, d: int = 16, layers: int = 2, before: bool = False, bug: str = "") -> None:
        super().__init__()
        self.d, self.bug = d, bug
        self.tokens = nn.ModuleDict(
            {"src": nn.Embedding(SOURCE, d, padding_idx=PAD), "tgt": nn.Embedding(TARGET, d)}
        )
        self.place = nn.Embedding(40, d)
        self.stack = nn.ModuleDict({
            "src": nn.ModuleList(BorrowedLayer(d, 4, False, before) for _ in range(layers)),
            "tgt": nn.ModuleList(BorrowedLayer(d, 4, True, before) for _ in range(layers)),
        })  # fmt: skip
        self.head = nn.Sequential(
            nn.LayerNorm(d) if before else nn.Identity(), nn.Linear(d, TARGET)
        )

    def enter(self, side: str, ids: Tensor) -> Tensor:
        where = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        x = self.tokens[side](ids) * math.sqrt(self.d) + self.place(where)
        return x if self.bug == "batch is time" else x.transpose(0, 1)

    def forward(self, src_ids: Tensor, tgt_ids: Tensor) -> dict[str, Any]:
        reading: Any = self.stack["src"]
        writing: Any = self.stack["tgt"]
        pad = src_ids.eq(PAD)
        n = tgt_ids.shape[1]
        late = torch.triu(torch.ones(n, n, dtype=torch.bool), diagonal=1)
        if self.bug == "batch is time":
            x = self.enter("src", src_ids)
            for layer in reading:
                x = layer(x)
            x, y = x.transpose(0, 1), self.enter("tgt", tgt_ids).transpose(0, 1)
        else:
            x, y = self.enter("src", src_ids), self.enter("tgt", tgt_ids)
            for layer in reading:
                x = layer(x, pad=None if self.bug == "sees padding" else pad)
        for layer in writing:
            y = layer(y, late=late, memory=x, far=pad)
        return {"loss": None, "logits": self.head(y.transpose(0, 1))}


class FlatAttention(nn.Module):
    """Heads are folded into the batch; baddbmm adds the scores to the mask."""

    def __init__(self, d: int, heads: int, bug: str) -> None:
        super().__init__()
        self.h, self.k, self.bug = heads, d // heads, bug
        self.in_proj = nn.Parameter(torch.randn(3, d, d) * d**-0.5)
        self.out_proj = nn.Linear(d, d)

    def fold(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        x = x.view(b, t, self.h, self.k)
        if self.bug == "folded askew":
            return x.reshape(b * self.h, t, self.k)
        return x.permute(2, 0, 1, 3).reshape(self.h * b, t, self.k)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = (self.fold(s @ w.T) for s, w in zip((x, y, y), self.in_proj, strict=True))
        bar = mask.expand(b, t, y.shape[1]).repeat(self.h, 1, 1)
        if self.bug == "masks in another order":
            bar = mask.expand(b, t, y.shape[1]).repeat_interleave(self.h, 0)
        scores = torch.baddbmm(bar, q, k.mT, alpha=self.k**-0.5)
        top = scores.amax(-1, keepdim=True)
        shares = (scores - top).exp()
        shares = shares.div(shares.sum(-1, keepdim=True))
        z = torch.bmm(shares, v).view(self.h, b, t, self.k).permute(1, 2, 0, 3)
        return self.out_proj(z.reshape(b, t, d))


class FlatLayer(nn.Module):
    def __init__(self, d: int, heads: int, cross: bool, bug: str) -> None:
        super().__init__()
        self.bug = bug
        self.s = FlatAttention(d, heads, bug)
        self.c = FlatAttention(d, heads, bug) if cross else None
        self.w = nn.ParameterList([nn.Parameter(torch.randn(2 * d, d) * 0.2),
                                   nn.Parameter(torch.randn(d, 2 * d) * 0.2)])  # fmt: skip
        self.n = nn.ModuleList(nn.LayerNorm(d, eps=1e-6) for _ in range(3 if cross else 2))

    def forward(self, x: Tensor, mask: Tensor, memory: Any = None, far: Any = None) -> Tensor:
        h = self.n[0](x)
        x = x.add(self.s(h, h, mask))
        if self.c is not None:
            h = self.n[1](x)
            swapped = self.bug == "memory asks"
            x = x.add(self.c(memory, h, far) if swapped else self.c(h, memory, far))
        h = self.n[0 if self.bug == "norm of another" else -1](x)
        return x.add(F.linear(F.silu(F.linear(h, self.w[0])), self.w[1]))


class Flat(nn.Module):
    """Encoder and decoder are two lists of the same class of layers."""

    def __init__(self, d: int = 24, heads: int = 3, layers: int = 2, bug: str = "") -> None:
        super().__init__()
        self.d, self.bug = d, bug
        self.shared = nn.Embedding(TARGET, d)
        self.where = nn.Parameter(torch.randn(2, 40, d))
        self.enc, self.dec = (
            nn.ModuleList(FlatLayer(d, heads, cross, bug) for _ in range(layers))
            for cross in (False, True)
        )
        self.e_norm, self.d_norm = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)

    def forward(self, src: Tensor, tgt: Tensor) -> tuple[Tensor, Tensor]:
        low = torch.finfo(self.where.dtype).min
        far = ((src == PAD) * low)[:, None, :]
        n = tgt.shape[1]
        late = torch.zeros(n, n, dtype=far.dtype).masked_fill(torch.ones(n, n).triu(1) > 0, low)
        x = F.embedding(src, self.shared.weight) * self.d**0.5 + self.where[0, : src.shape[1]]
        y = F.embedding(tgt, self.shared.weight) * self.d**0.5 + self.where[1, :n]
        for layer in self.enc:
            x = layer(x, far)
        memory = x if self.bug == "last norm forgotten" else self.e_norm(x)
        for layer in self.dec:
            y = layer(y, late[None], memory, far)
        return self.d_norm(y) @ self.shared.weight.T, memory


HANDS = {"formulas": Formulas, "borrowed": Borrowed, "flat": Flat}
HELD_OUT: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    # Style, its switches, and the departures that the doctor must name, as in RECIPES.
    "formulas, post-norm": ("formulas", {}, ()),
    "formulas, pre-norm": ("formulas", {"before": True}, ()),
    "formulas, one head": ("formulas", {"heads": 1}, ()),
    "formulas, three layers": ("formulas", {"layers": 3, "d": 12, "heads": 2}, ()),
    "formulas: keys are values": ("formulas", {"bug": "keys are values"}, ("keys-values-swapped",)),
    "formulas: softmax over heads": ("formulas", {"bug": "heads share"}, ("softmax-over-heads",)),
    "formulas: added after the norm": (
        "formulas", {"bug": "adds late"}, ("(normalised before it is added)",),
    ),
    "formulas: a token hides itself": (
        "formulas", {"bug": "hides itself"}, ("(pairs of positions are hidden)",),
    ),
    "formulas: cross-attention the wrong way": (
        "formulas", {"bug": "asks the memory"}, ("(makes the keys)",),
    ),
    "borrowed, post-norm": ("borrowed", {}, ()),
    "borrowed, pre-norm": ("borrowed", {"before": True}, ()),
    "borrowed, one layer": ("borrowed", {"layers": 1}, ()),
    "borrowed: batch is time": ("borrowed", {"bug": "batch is time"}, ("batch-time-swapped",)),
    "borrowed: padding seen in the encoder": (
        "borrowed", {"bug": "sees padding"}, ("no-source-padding-mask",),
    ),
    "flat": ("flat", {}, ()),
    "flat, one layer": ("flat", {"layers": 1, "heads": 2}, ()),
    "flat, six heads": ("flat", {"heads": 6}, ()),
    "flat: folded askew": ("flat", {"bug": "folded askew"}, ("heads-split-by-view",)),
    "flat: masks in another order": (
        "flat", {"bug": "masks in another order"}, ("(for the heads in another order)",),
    ),
    "flat: the memory asks the decoder": (
        "flat", {"bug": "memory asks"}, ("(the encoder's output asks the decoder)",),
    ),
    "flat: the first norm used twice": (
        "flat", {"bug": "norm of another"}, ("(used a second time)",),
    ),
    "flat: no last norm in the encoder": ("flat", {"bug": "last norm forgotten"}, ()),
}  # fmt: skip


def held_out(hand: str, **switches: Any) -> nn.Module:
    """A model in this style; random gains and biases, so that it matters where they are applied."""
    torch.manual_seed(11)
    model = HANDS[hand](**switches)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model

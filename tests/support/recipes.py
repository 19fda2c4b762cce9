"""One encoder-decoder and 36 recipes: each departure found in hand-written models is a switch.

Beside each recipe are the departures that the doctor must name in its capture; () means equal to
the paper. A name in parentheses is not in the list of faults: these words must be in the report.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

D, H, WIDE, SOURCE, TARGET, PAD, LONGEST = 32, 4, 64, 50, 53, 0, 64

DEFAULTS: dict[str, Any] = {
    "project": "apart",  # heads, fused, fused by head, raw, small
    "bias": True,
    "inner": D,
    "divide": "d_k",  # d_model
    "over": "keys",  # queries
    "merge": "transposed",  # viewed
    "network": "plain",  # conv, gated
    "norm": "plain",  # unbiased, scalar, centred, bare
    "one_norm": False,
    "order": "post",  # pre
    "last": (),  # encoder, decoder
    "enter_norm": False,
    "root": True,
    "positions": "buffer",  # attribute, twice, minus one, learned
    "offset": 0,
    "tied": False,
    "logits_times": 1.0,
    "causal": True,
    "padding": True,
    "log": False,
    "loop": "right",  # drops all, drops later
    "bridge": False,
    "start": "token",  # zeros
    "asks": "stream",  # layer input
    "look_ahead": False,
}


def norm(x: Tensor, kind: str) -> Tensor:
    """A layer norm without gain and bias."""
    away = x - x.mean(-1, keepdim=True)
    if kind in ("unbiased", "scalar"):
        return away / (x.std(-1, keepdim=True) + 1e-6)
    return away * torch.rsqrt((away**2).mean(-1, keepdim=True) + 1e-5)


class Norm(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind != "bare":
            size = 1 if kind == "scalar" else D
            self.stretch = nn.Parameter(torch.full((size,), float(kind != "centred")))
            self.shift = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        plain = norm(x, self.kind)
        if self.kind == "bare":
            return plain
        return plain * (self.stretch + (self.kind == "centred")) + self.shift


class Look(nn.Module):
    """Attention, with queries from one vector and keys and values from another."""

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.c, kind, bias, inner = c, c["project"], c["bias"], c["inner"]
        if kind == "heads":
            many = [[nn.Linear(D, D // H, bias=bias) for _ in range(H)] for _ in range(3)]
            self.many = nn.ModuleList(nn.ModuleList(row) for row in many)
        elif kind == "raw":
            self.maps = nn.Parameter(torch.randn(3, H, D, D // H) * 0.2)
        elif kind == "small":
            self.three = nn.ModuleList(nn.Linear(D // H, D // H, bias=bias) for _ in range(3))
        elif kind.startswith("fused"):
            self.all_in_one = nn.Linear(D, 3 * D, bias=bias)
        else:
            self.three = nn.ModuleList(nn.Linear(D, inner, bias=bias) for _ in range(3))
        self.back = nn.Linear(inner, D)

    def one(self, which: int, x: Tensor) -> Tensor:
        """Queries (0), keys (1) or values (2) of all heads: [batch, head, position, d_k]."""
        kind = self.c["project"]
        if kind == "heads":
            heads: Any = self.many[which]
            return torch.stack([head(x) for head in heads], dim=1)
        if kind == "raw":
            return x.unsqueeze(1) @ self.maps[which]
        if kind == "small":
            return self.three[which](x.unflatten(-1, (H, -1)).transpose(1, 2))
        if kind.startswith("fused"):
            w: Tensor = self.all_in_one.weight
            b: Any = self.all_in_one.bias
            first, second = (H, 3) if kind == "fused by head" else (3, H)
            part = (slice(None), which) if kind == "fused by head" else which
            w = w.view(first, second, D // H, D)[part].reshape(D, D)
            b = None if b is None else b.view(first, second, D // H)[part].reshape(D)
            x = F.linear(x, w, b)
        else:
            x = self.three[which](x)
        return x.unflatten(-1, (H, -1)).transpose(1, 2)

    def forward(self, x: Tensor, y: Tensor, seen: Tensor) -> Tensor:
        q, k, v = self.one(0, x), self.one(1, y), self.one(2, y)
        width = D if self.c["divide"] == "d_model" else q.shape[-1]
        scores = (q @ k.transpose(2, 3) / width**0.5).masked_fill(~seen, -1e9)
        mixed = scores.softmax(-2 if self.c["over"] == "queries" else -1) @ v
        if self.c["merge"] == "transposed":
            mixed = mixed.transpose(1, 2)
        return self.back(mixed.reshape(x.shape[0], x.shape[1], -1))


class Block(nn.Module):
    def __init__(self, c: dict[str, Any], cross: bool) -> None:
        super().__init__()
        self.c = c
        self.own, self.other = Look(c), Look(c) if cross else None
        conv = c["network"] == "conv"
        self.up, self.down = (
            nn.Conv1d(*sizes, 1) if conv else nn.Linear(*sizes) for sizes in ((D, WIDE), (WIDE, D))
        )
        self.gate = nn.Linear(D, WIDE) if c["network"] == "gated" else None
        count = 3 if cross else 2
        one = Norm(c["norm"])
        made = [one if c["one_norm"] else Norm(c["norm"]) for _ in range(count)]
        self.norms = nn.ModuleList(made)

    def network(self, x: Tensor) -> Tensor:
        if self.c["network"] == "conv":
            return self.down(F.relu(self.up(x.transpose(1, 2)))).transpose(1, 2)
        inner = F.relu(self.up(x))
        return self.down(inner if self.gate is None else inner * self.gate(x))

    def around(self, number: int, x: Tensor, part: Any) -> Tensor:
        if self.c["order"] == "pre":
            return x + part(self.norms[number](x))
        return self.norms[number](x + part(x))

    def forward(self, x: Tensor, seen: Tensor, memory: Any = None, look: Any = None) -> Tensor:
        began = x
        x = self.around(0, x, lambda t: self.own(t, t, seen))
        other = self.other
        if other is not None:
            asks = self.c["asks"] == "layer input"
            x = self.around(1, x, lambda t: other(began if asks else t, memory, look))
        return self.around(-1, x, self.network)


def waves(kind: str) -> Tensor:
    place, pair = torch.arange(LONGEST)[:, None].float(), torch.arange(D // 2).float()
    if kind == "minus one":  # sines, then cosines, the last with a rate of exactly 1 / 10000
        angle = place * 10000 ** (-pair / (D // 2 - 1))
        return torch.cat([angle.sin(), angle.cos()], -1)
    if kind == "twice":  # the index is doubled already, and is doubled once more
        sine, cosine = (place / 10000 ** (2 * (2 * pair + more) / D) for more in (0, 1))
    else:
        sine = cosine = place / 10000 ** (2 * pair / D)
    return torch.stack([sine.sin(), cosine.cos()], -1).flatten(1)


class Recipe(nn.Module):
    def __init__(self, **switches: Any) -> None:
        super().__init__()
        c = self.c = DEFAULTS | switches
        self.words = nn.Embedding(TARGET if c["tied"] else SOURCE, D)
        self.mots = self.words if c["tied"] else nn.Embedding(TARGET, D)
        if c["positions"] == "learned":
            self.places = nn.ModuleList(nn.Embedding(LONGEST, D) for _ in range(2))
        elif c["positions"] == "buffer":
            self.register_buffer("table", waves("paper"))
        else:
            self.waves = waves(c["positions"])
        self.reading = nn.ModuleList(Block(c, False) for _ in range(2))
        self.writing = nn.ModuleList(Block(c, True) for _ in range(2))
        self.lasts = nn.ModuleDict({side: Norm(c["norm"]) for side in c["last"]})
        self.enters = nn.ModuleList(Norm(c["norm"]) for _ in range(2 * c["enter_norm"]))
        self.bridge = nn.Linear(D, D) if c["bridge"] else nn.Identity()
        self.say = nn.Linear(D, TARGET, bias=not c["tied"])
        if c["tied"]:
            self.say.weight = self.words.weight

    def enter(self, ids: Tensor, side: int) -> Tensor:
        c = self.c
        x = (self.mots if side else self.words)(ids) * (math.sqrt(D) if c["root"] else 1.0)
        if side and c["start"] == "zeros":
            x = torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:]], 1)
        if c["positions"] == "learned":
            table: Any = self.places[side].weight
        else:
            table = self.table if c["positions"] == "buffer" else self.waves
        x = x + table[c["offset"] : c["offset"] + ids.shape[1]]
        return self.enters[side](x) if c["enter_norm"] else x

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        c, n = self.c, tgt.shape[1]
        seen = (src != PAD)[:, None, None] | (not c["padding"])
        low = torch.ones(n, n, dtype=torch.bool).tril() | (not c["causal"])
        x = self.enter(src, 0)
        for block in self.reading:
            x = block(x, seen)
        memory = self.bridge(self.lasts["encoder"](x) if "encoder" in self.lasts else x)
        look = (
            seen & torch.ones(n, src.shape[1], dtype=torch.bool).tril() if c["look_ahead"] else seen
        )
        y = self.enter(tgt, 1)
        for number, block in enumerate(self.writing):
            after = block(y, low, memory, look)
            dropped = c["loop"] == "drops all" or (c["loop"] == "drops later" and number)
            y = y if dropped else after
        y = self.lasts["decoder"](y) if "decoder" in self.lasts else y
        y = self.say(y) * c["logits_times"]
        return y.log_softmax(-1) if c["log"] else y


PRE: dict[str, Any] = {"order": "pre", "last": ("encoder", "decoder")}
ANNOTATED = ("layer-norm-unbiased",)
RECIPES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    # These can be mapped: nothing departs, or only what weights can absorb.
    "post-norm": ({}, ()),
    "pre-norm": (PRE, ()),
    "no bias": ({"bias": False}, ()),
    "a map a head": ({"project": "heads"}, ()),
    "fused": ({"project": "fused"}, ()),
    "fused by head": ({"project": "fused by head"}, ()),
    "raw parameters": ({"project": "raw"}, ()),
    "one small map for all heads": (
        {"project": "small", "divide": "d_model", "root": False, "positions": "learned"},
        ("scores-scaled-by-d-model", "unscaled-embeddings"),
    ),
    "unbiased deviation": (PRE | {"norm": "unbiased"}, ANNOTATED),
    "gains around 0": (PRE | {"norm": "centred"}, ()),
    "a gain of one number": (PRE | {"norm": "scalar"}, ANNOTATED),
    "norms without gain": ({"norm": "bare"}, ()),
    "one norm a layer": ({"one_norm": True}, ()),
    "scores over the root of d_model": ({"divide": "d_model"}, ("scores-scaled-by-d-model",)),
    "2i twice": ({"positions": "twice"}, ("positions-wrong-formula",)),
    "halves, n - 1": ({"positions": "minus one"}, ()),
    "positions not saved": ({"positions": "attribute"}, ()),
    "learned positions, scaled": ({"positions": "learned"}, ()),
    "learned positions from row 2": (
        {"positions": "learned", "root": False, "offset": 2}, ("unscaled-embeddings",),
    ),
    "convolutions": ({"network": "conv"}, ()),
    "tied, over the root of d_model": (
        {"tied": True, "root": False, "logits_times": D**-0.5}, ("unscaled-embeddings",),
    ),
    "log-probabilities": (PRE | {"log": True}, ()),
    "a start of zeros": ({"start": "zeros"}, ()),
    "pre-norm without a last norm": ({"order": "pre"}, ()),
    # Other departures.
    "a bridge behind the encoder": (
        {"bridge": True}, ("(a linear map between encoder and decoder)",),
    ),
    "a norm after the embeddings": ({"enter_norm": True}, ("norm-after-embeddings",)),
    "a last norm of the encoder alone": ({"last": ("encoder",)}, ()),
    "heads wider than the model": ({"inner": 2 * D}, ()),
    "heads merged by view": ({"merge": "viewed"}, ("heads-merged-by-view",)),
    "cross-attention asks the layer's input": (
        {"asks": "layer input"}, ("(the layer's own input)",),
    ),
    "look-ahead mask on the source": ({"look_ahead": True}, ("(look-ahead mask)",)),
    "softmax over queries": ({"over": "queries"}, ("softmax-over-queries",)),
    "a loop that drops its layers": (
        {"loop": "drops all"}, ("layers-reuse-input", "(the decoder's input)"),
    ),
    "a gated network": ({"network": "gated"}, ("(gate)",)),
    "no causal mask": ({"causal": False}, ("no-causal-mask",)),
    "no padding mask": ({"padding": False}, ("no-source-padding-mask",)),
}  # fmt: skip


def recipe(**switches: Any) -> nn.Module:
    """A model with these switches; random gains and biases, so that it matters where they apply."""
    torch.manual_seed(5)
    model = Recipe(**switches)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model

"""Twenty implementations in the styles of different people, one per file, each with ``build()``.

They were written from published descriptions of models and faults, without having read the
doctor's code, and scored once. STRANGERS says which departures the doctor must name in each, as in
``recipes.py``.
"""

import importlib

import torch
from torch import nn

STRANGERS: dict[str, tuple[str, ...]] = {
    "base512": (),
    "builtin_encoder": (),
    "cached": (),
    "chunked": ("unscaled-embeddings",),
    "chunks_in_batch": ("(for the heads in another order)",),
    "convffn": (),
    "dict_hf": ("positions-wrong-formula",),
    "einsum_odd": ("scores-scaled-by-d-model",),
    "functional": (),
    "headlist": ("no-activation",),
    "inverted": ("no-cross-padding-mask",),
    "keyword_dataclass": (),
    "lightning": ("layers-reuse-input",),
    "merge": ("heads-merged-by-view", "unscaled-embeddings"),
    "mha_weights": (),
    "rmsnorm": ("(an RMSNorm)",),
    "sdpa": ("unscaled-embeddings",),
    "shared": ("shared-layers",),
    "timefirst": (),
    "wrapped": ("unscaled-embeddings",),
}
HARMLESS = ("chunked", "sdpa")
"""The models whose only departure is harmless."""


def stranger(name: str) -> nn.Module:
    """The model in the file of this name."""
    torch.manual_seed(7)
    module = importlib.import_module(f"tests.support.strangers.{name}")
    built = module.build()
    assert isinstance(built, nn.Module)
    return built

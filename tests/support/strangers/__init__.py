"""Twenty implementations as twenty different people write them, one a file, each with ``build()``.

They were written from published descriptions of models and faults, before the doctor's code was
read, and scored once. What each must be told stands in STRANGERS, as in ``recipes.py``.
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
"""Those whose one departure does no harm."""


def stranger(name: str) -> nn.Module:
    """A model of this person's."""
    torch.manual_seed(7)
    module = importlib.import_module(f"tests.support.strangers.{name}")
    built = module.build()
    assert isinstance(built, nn.Module)
    return built

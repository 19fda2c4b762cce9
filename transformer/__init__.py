"""An encoder-decoder Transformer built by hand, and what one needs to learn from it.

The public names resolve on first use (PEP 562), so that reading a config, a vocabulary or
a run's metrics does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.config import DataConfig, SamplingConfig, TrainingConfig, TransformerConfig
    from transformer.decoding import (
        DecodingStep,
        Hypothesis,
        beam_search,
        decode,
        greedy,
        sample,
    )
    from transformer.errors import CheckpointError, ConfigError, UserError, VocabularyError
    from transformer.hooks import HookPoint, ablate, record
    from transformer.model import Transformer
    from transformer.vocabulary import Vocabulary

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "ConfigError",
    "DataConfig",
    "DecodingStep",
    "HookPoint",
    "Hypothesis",
    "SamplingConfig",
    "TrainingConfig",
    "Transformer",
    "TransformerConfig",
    "UserError",
    "Vocabulary",
    "VocabularyError",
    "ablate",
    "beam_search",
    "decode",
    "greedy",
    "record",
    "sample",
]

_HOMES = {
    "checkpoint": ("Checkpoint",),
    "config": ("DataConfig", "SamplingConfig", "TrainingConfig", "TransformerConfig"),
    "decoding": ("DecodingStep", "Hypothesis", "beam_search", "decode", "greedy", "sample"),
    "errors": ("CheckpointError", "ConfigError", "UserError", "VocabularyError"),
    "hooks": ("HookPoint", "ablate", "record"),
    "model": ("Transformer",),
    "vocabulary": ("Vocabulary",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)

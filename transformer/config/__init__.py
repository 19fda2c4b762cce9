"""What describes a model, a run and a server: frozen dataclasses that validate themselves."""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.config.architecture import TransformerConfig
    from transformer.config.run import DataConfig, RunConfig, SamplingConfig, TrainingConfig

_HOMES = {
    "architecture": ("TransformerConfig",),
    "run": ("DataConfig", "RunConfig", "SamplingConfig", "TrainingConfig"),
}
__all__ = ["DataConfig", "RunConfig", "SamplingConfig", "TrainingConfig", "TransformerConfig"]
__getattr__ = lazy(__name__, _HOMES)

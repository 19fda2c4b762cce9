"""What describes a model, a run and a server: frozen dataclasses that validate themselves."""

from transformer.config.architecture import (
    DataConfig,
    RunConfig,
    SamplingConfig,
    TrainingConfig,
    TransformerConfig,
)

__all__ = ["DataConfig", "RunConfig", "SamplingConfig", "TrainingConfig", "TransformerConfig"]

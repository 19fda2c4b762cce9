"""Configuration of a model, a run and a server: frozen dataclasses that validate themselves."""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.config.architecture import TransformerConfig
    from transformer.config.run import DataConfig, RunConfig, SamplingConfig
    from transformer.config.training import TrainingConfig

__getattr__ = lazy(__name__)

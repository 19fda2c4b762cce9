"""An encoder-decoder Transformer built by hand, with tools to train, inspect and debug it.

The public names resolve on first use, so that reading a config, a vocabulary or a run's
metrics does not import torch.
"""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.checkpoint.checkpoint import Checkpoint
    from transformer.config.architecture import TransformerConfig
    from transformer.config.run import DataConfig, SamplingConfig
    from transformer.config.training import TrainingConfig
    from transformer.decoding.beam import Beam
    from transformer.decoding.steps import DecodingStep, Hypothesis
    from transformer.decoding.strategies import (
        Greedy,
        Sampling,
        beam_search,
        decode,
        greedy,
        sample,
    )
    from transformer.errors import CheckpointError, ConfigError, UserError, VocabularyError
    from transformer.hooks import HookPoint, ablate, record
    from transformer.model import Transformer
    from transformer.vocabulary.vocabulary import Vocabulary

__getattr__ = lazy(__name__)

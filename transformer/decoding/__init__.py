"""Writing the output token by token: strategies, searches, and the engines that compute steps."""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.decoding.beam import Beam
    from transformer.decoding.steps import Candidate, DecodingStep, Hypothesis, Strategy
    from transformer.decoding.strategies import (
        Greedy,
        Sampling,
        beam_search,
        decode,
        greedy,
        sample,
    )

__getattr__ = lazy(__name__)

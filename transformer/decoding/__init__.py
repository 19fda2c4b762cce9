"""Writing the output token by token: strategies, searches, and the engines that compute steps."""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.decoding.strategies import (
        DecodingStep,
        Hypothesis,
        beam_search,
        decode,
        greedy,
        sample,
    )

__all__ = ["DecodingStep", "Hypothesis", "beam_search", "decode", "greedy", "sample"]

__getattr__ = lazy(__name__, {"strategies": tuple(__all__)})

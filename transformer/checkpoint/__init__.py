"""A trained model in one file: header, weights, and a probe that proves how it behaves."""

from typing import TYPE_CHECKING

from transformer.lazy import lazy

if TYPE_CHECKING:
    from transformer.checkpoint.answers import Answer
    from transformer.checkpoint.checkpoint import Checkpoint
    from transformer.checkpoint.header import Header, Summary, read_header

__getattr__ = lazy(__name__)

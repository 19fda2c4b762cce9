"""The output of a model for a text."""

from dataclasses import dataclass

CLOSE = 1e-4
"""Margin below which rounding errors, which differ between batches, may change the output."""


@dataclass(frozen=True)
class Answer:
    """The output of a model for one text, or why it cannot read the text.

    tokens: of the output, with the final <eos> if it was written.
    complete: False if the output was cut at its greatest length, before <eos>.
    margin: as in :class:`Decoded`.
    unknown: the parts of the text that the model reads as its unknown token.
    error: one sentence; empty if the text could be read.
    """

    source: str
    output: str = ""
    tokens: tuple[str, ...] = ()
    log_prob: float = 0.0
    complete: bool = True
    margin: float = float("inf")
    unknown: tuple[str, ...] = ()
    error: str = ""

    @property
    def close(self) -> bool:
        """Whether rounding may change the output, so that it may differ in another batch."""
        return self.margin < CLOSE

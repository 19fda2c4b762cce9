"""What a model wrote for a text."""

from dataclasses import dataclass

CLOSE = 1e-4
"""A margin below it is within reach of rounding errors, which differ from batch to batch."""


@dataclass(frozen=True)
class Answer:
    """What a model wrote for one text, or why it cannot read it.

    tokens: those of the output, <eos> included where it ended.
    complete: False where the output was cut because it found no end.
    margin: as in :class:`Decoded`.
    unknown: what of the text the model does not know, and reads as its unknown token.
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
        """Whether rounding may decide what is written: in another batch it may be another."""
        return self.margin < CLOSE

"""Questions that a state dict's shapes cannot answer, for the page and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TABLE, NONE = "table", "none"


@dataclass(frozen=True)
class Question:
    """A field of ``Choices`` that only the user knows.

    label: its name on the page.
    options: value -> description. Empty for the heads, which are the divisors of the width.
    """

    field: str
    label: str
    options: Mapping[Any, str]


QUESTIONS = (
    Question("num_heads", "Heads in each layer", {}),
    Question(
        "norm_first",
        "Norms",
        {False: "After each sub-layer (post-norm)", True: "Before each sub-layer (pre-norm)"},
    ),
    Question("activation", "Activation", {name: name for name in ("relu", "gelu", "swish")}),
    Question(
        "positions",
        "Positions",
        {
            "interleaved": "sines and cosines, interleaved",
            "halves": "sines and cosines, in halves",
            TABLE: "the file's own table",
            NONE: "no positions",
        },
    ),
    Question(
        "scale_embeddings", "Embeddings", {True: "Multiplied by √d_model", False: "As they are"}
    ),
    Question(
        "source_frame",
        "What the encoder reads",
        {"bos-eos": "<bos> text <eos>", "eos": "text <eos>", "none": "the text alone"},
    ),
)
"""The questions, in the order in which they are asked and guesses are reported."""


def options_of(field: str) -> Mapping[Any, str]:
    """The options of a field: value -> description."""
    return next(question.options for question in QUESTIONS if question.field == field)

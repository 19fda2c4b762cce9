"""Paths through the decoding of one input: the output, and each step's logits and attention."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from pages.components.shared.inspection import LONGEST_OUTPUT
from transformer.config import SamplingConfig

if TYPE_CHECKING:
    from transformer.checkpoint import Checkpoint
    from transformer.decoding.steps import Strategy

KEPT_BYTES = 64_000_000
"""Limit in bytes on the paths cached in a session, so that returning to one computes nothing."""


@dataclass(frozen=True)
class PathSpec:
    """How a path is decoded: the given beginning, and how the model continues it.

    prefix: ids that the output starts with.
    sampling: None for greedy decoding.
    """

    prefix: tuple[int, ...] = ()
    sampling: SamplingConfig | None = None


@dataclass(frozen=True)
class DecodingPath:
    """One output, step by step.

    written: ids, with <eos> where it ended.
    log_probs: the model's log-probability of each.
    logits: [step, vocabulary]
    attention: over the source, [step, layer, head, source]
    """

    spec: PathSpec
    written: tuple[int, ...]
    log_probs: tuple[float, ...]
    logits: NDArray[np.float32]
    attention: NDArray[np.float32]

    @property
    def total(self) -> float:
        return sum(self.log_probs)

    @property
    def nbytes(self) -> int:
        return self.logits.nbytes + self.attention.nbytes


def decode_path(
    checkpoint: "Checkpoint", text: str, spec: PathSpec = PathSpec(), most: int | None = None
) -> DecodingPath:
    """Decode a path; cached in the session.

    Args:
        most: tokens to stop after; None for the most that a page shows.

    Raises:
        VocabularyError: the text cannot be encoded.
    """
    kept: dict[tuple[object, ...], tuple[weakref.ref[Checkpoint], DecodingPath]]
    kept = st.session_state.setdefault("paths", {})
    # A weak reference: an id may be reused, and a path must not keep a model's weights alive.
    name = (id(checkpoint), text, spec, most)
    if name not in kept or kept[name][0]() is not checkpoint:
        kept[name] = (weakref.ref(checkpoint), _decode(checkpoint, text, spec, most))
    kept[name] = kept.pop(name)  # the newest last
    while len(kept) > 1 and sum(path.nbytes for _, path in kept.values()) > KEPT_BYTES:
        del kept[next(iter(kept))]
    return kept[name][1]


def _decode(checkpoint: "Checkpoint", text: str, spec: PathSpec, most: int | None) -> DecodingPath:
    from transformer.decoding.strategies import Greedy, Sampling

    model, source = checkpoint.model, checkpoint.encode(text)
    longest = most or max(LONGEST_OUTPUT, len(spec.prefix))
    strategy: Strategy = Greedy(prefix=spec.prefix, max_length=longest, attention=True)
    if spec.sampling is not None:
        strategy = Sampling(spec.sampling, **vars(strategy))
    written: list[int] = []
    log_probs: list[float] = []
    logits: list[NDArray[np.float32]] = []
    attention: list[NDArray[np.float32]] = []
    for step in strategy(model, source):
        assert step.cross_attention is not None  # asked for
        written.append(int(step.tokens[0, 0, -1]))
        log_probs.append(float(step.log_probs[0, 0, written[-1]]))
        logits.append(step.logits[0, 0].numpy())
        attention.append(step.cross_attention[0, 0].numpy())
    return DecodingPath(
        spec, tuple(written), tuple(log_probs), np.stack(logits), np.stack(attention)
    )


def parse_prefix(text: str, checkpoint: "Checkpoint") -> tuple[int, ...] | None:
    """Parse ids joined by dots, as in the address; None if the model cannot write them."""
    words = [word for word in text.split(".") if word]
    config = checkpoint.config
    size, longest = config.target_vocab_size, config.max_length
    # A token that the model must not write has no probability to show.
    barred = {config.pad_id} if config.pad_in_output != "allowed" else set()
    if len(words) > longest or not all(
        word.isdecimal() and len(word) < 8 and int(word) < size and int(word) not in barred
        for word in words
    ):
        return None
    return tuple(int(word) for word in words)


def prefix_text(prefix: Sequence[int]) -> str:
    return ".".join(map(str, prefix))

"""Many inputs at once: batched by length, what has ended dropped, what is done handed out.

Both functions are generators of :class:`Progress`: whoever drains them sees how far they are, and
may stop at any moment with all that is done by then.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor

from transformer.config.architecture import TransformerConfig
from transformer.decoding.strategies import (
    DecodingStep,
    Hypothesis,
    beam_search,
    greedy,
    output_limit,
    pad,
)
from transformer.errors import UserError
from transformer.model import Transformer

if TYPE_CHECKING:
    from transformer.checkpoint.checkpoint import Checkpoint

MOST_ROWS = {"cpu": 192, "cuda": 1024}
"""Inputs decoded together: what is computed of more does not stay in a processor's cache, while a
graphics card takes as long for a few as for many."""
MOST_TOKENS = {"cpu": 6144, "cuda": 1 << 20}
"""Their tokens, padding included, for the same reason."""
FEW = 1 / 8
"""Share of a batch that is put aside to go on, from its beginning, with what is left of others:
a step for few inputs takes nearly as long as one for many."""
MOST_NUMBERS = 1 << 26
"""Floats that the largest tensors of a batch may hold: 256 MB."""
CLOSE = 1e-4
"""A margin below it is within reach of rounding errors, which differ from batch to batch."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress(Generic[Result]):
    """The share done, from 0 to 1, and what is new, by the number of its input."""

    share: float
    new: Mapping[int, Result]


@dataclass(frozen=True)
class Decoded:
    """What was written for one input.

    margin: how near the nearest decision was to falling otherwise, in log-probability (for a
        beam, over the length penalty).
    """

    hypothesis: Hypothesis
    margin: float


@dataclass(frozen=True)
class BatchAnswer:
    """What a model wrote for one of many texts, or why it cannot read it.

    tokens: those of the output, <eos> included where it ended.
    complete: False where the output was cut because it found no end.
    margin: as in :class:`Decoded`.
    error: one sentence; empty if the text could be read.
    """

    source: str
    output: str = ""
    tokens: tuple[str, ...] = ()
    log_prob: float = 0.0
    complete: bool = True
    margin: float = float("inf")
    error: str = ""

    @property
    def close(self) -> bool:
        """Whether rounding may decide what is written: in another batch it may be another."""
        return self.margin < CLOSE


def decode_many(
    model: Transformer,
    rows: Sequence[Sequence[int]],
    *,
    beam_size: int = 1,
    alpha: float = 0.6,
    max_length: int | None = None,
) -> Iterator[Progress[Decoded]]:
    """Decode many inputs, greedily or with a beam; yields after every step of every batch.

    Args:
        rows: ids of each input, ending in <eos>.
        beam_size, alpha: of :func:`beam_search`; a beam of 1 is greedy.
        max_length: most tokens of an output; None goes up to the model's positions.
    """
    config = model.config
    search = partial(greedy, max_length=max_length, drop_done=True)
    if beam_size > 1:
        search = partial(
            beam_search, beam_size=beam_size, alpha=alpha, max_length=max_length, drop_done=True
        )
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    most = output_limit(model, max_length)
    work, done = sum(map(len, rows)), 0
    while order:
        groups = list(_groups(order, rows, config, beam_size, most, device.type))
        order = []
        for group in groups:
            few = FEW * len(group) if len(groups) > 1 else 0
            source = pad([rows[i] for i in group], config.pad_id).to(device)
            left = dict(enumerate(group))
            for found in _outcomes(search(model, source), config.eos_id, few):
                new = {left.pop(place): decoded for place, decoded in found.items()}
                done += sum(len(rows[i]) for i in new)
                yield Progress(done / work, new)
            order += left.values()


def _groups(
    order: Sequence[int],
    rows: Sequence[Sequence[int]],
    config: TransformerConfig,
    beam_size: int,
    longest_output: int,
    device: str,
) -> Iterator[Sequence[int]]:
    """Inputs of ascending length, cut into batches that fit into the cache and the memory."""
    start = 0
    while start < len(order):
        count = min(MOST_ROWS[device], len(order) - start)
        while count > 1:
            # A batch is padded to its last input.
            length = len(rows[order[start + count - 1]])
            numbers = _numbers(config, length, beam_size, longest_output)
            if count * length <= MOST_TOKENS[device] and count * numbers <= MOST_NUMBERS:
                break
            count //= 2
        end = start + count
        yield order[start:end]
        start = end


def _numbers(config: TransformerConfig, length: int, beam_size: int, longest_output: int) -> int:
    """Floats that one input takes: the encoder's attention, the cache, the next token's scores."""
    cached = 2 * config.num_decoder_layers * config.d_model * (length + longest_output)
    scores = (3 if config.length_penalty == "paper" else 5) * config.target_vocab_size
    return config.num_heads * length**2 + beam_size * (cached + scores)


def _outcomes(
    steps: Iterable[DecodingStep], eos_id: int, few: float
) -> Iterator[dict[int, Decoded]]:
    """After each step what is done, by its place in the batch; the last ``few`` are left out."""
    margins = torch.empty(0)
    last: DecodingStep | None = None
    for step in steps:
        assert step.margin is not None  # both searches say these
        assert step.sentences is not None
        if last is None:
            margins = torch.full_like(step.margin, torch.inf)
        elif len(step.sentences) < len(last.tokens):
            yield _gone(last, set(step.sentences.tolist()), margins, eos_id)
        margins[step.sentences] = torch.minimum(margins[step.sentences], step.margin)
        last = step
        yield {}
        if len(step.sentences) <= few:
            return
    assert last is not None  # every search yields at least one step
    yield _gone(last, set(), margins, eos_id)


def _gone(
    last: DecodingStep, going: Collection[int], margins: Tensor, eos_id: int
) -> dict[int, Decoded]:
    """What those sentences of a step came to that do not go on."""
    assert last.sentences is not None
    places = {
        place: sentence
        for place, sentence in enumerate(last.sentences.tolist())
        if sentence not in going
    }
    found = {}
    beams = last.hypotheses(eos_id, list(places))
    for sentence, beam, margin in zip(
        places.values(), beams, margins[list(places.values())].tolist(), strict=True
    ):
        best, *others = sorted(beam, key=lambda one: (one.finished, one.score), reverse=True)
        if others and others[0].finished == best.finished:
            margin = min(margin, best.score - others[0].score)
        found[sentence] = Decoded(best, margin)
    return found


def answer_many(
    checkpoint: "Checkpoint",
    texts: Sequence[str],
    *,
    beam_size: int = 1,
    alpha: float = 0.6,
    max_length: int | None = None,
) -> Iterator[Progress[BatchAnswer]]:
    """Let a model answer many texts; first come those that it cannot read, each with its reason.

    Args: as for :func:`decode_many`.
    """
    rows: dict[int, list[int]] = {}
    refused: dict[int, BatchAnswer] = {}
    for number, text in enumerate(texts):
        try:
            rows[number] = checkpoint.source_ids(text)
        except UserError as error:
            refused[number] = BatchAnswer(text, error=str(error))
    yield Progress(0.0 if rows else 1.0, refused)
    numbers, vocabulary = list(rows), checkpoint.target_vocabulary
    for progress in decode_many(
        checkpoint.model,
        list(rows.values()),
        beam_size=beam_size,
        alpha=alpha,
        max_length=max_length,
    ):
        new = {}
        for place, decoded in progress.new.items():
            written = decoded.hypothesis
            new[numbers[place]] = BatchAnswer(
                texts[numbers[place]],
                vocabulary.decode(written.tokens),
                tuple(vocabulary.tokens[token] for token in written.tokens),
                written.log_prob,
                written.finished,
                decoded.margin,
            )
        yield Progress(progress.share, new)

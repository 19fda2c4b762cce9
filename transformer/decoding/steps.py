"""What every decoding strategy shares: its options, the steps it yields, and their arithmetic.

A strategy is a frozen object. Called with a model and a padded batch of sources, it yields one
:class:`DecodingStep` for each generated position. The app stores the steps, so that the user can
look at each; a caller that needs the outputs alone uses :meth:`Strategy.outputs`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from transformer.config import TransformerConfig
from transformer.decoding.engines.engine import StepDecoder, step_decoder
from transformer.errors import CheckpointError
from transformer.model import Transformer

OVERFLOWING = "The model's numbers overflow: its weights are far too large to use."


@dataclass(frozen=True)
class Hypothesis:
    """An output, finished or still growing.

    tokens: ids after the start token, with <eos> if finished.
    log_prob: sum of the tokens' log-probabilities, natural logarithm.
    score: log_prob divided by the length penalty; beam search ranks by it.
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool


@dataclass(frozen=True)
class Candidate:
    """A token that could come next, with its log-probability (natural logarithm)."""

    token: int
    log_prob: float


@dataclass(frozen=True)
class DecodingStep:
    """One generated position, for every sentence of a batch and every hypothesis of its beam.

    position: 0 for the first generated token.
    logits: the model's output at this position for each hypothesis that could grow,
        [batch, growing, vocabulary].
    next_log_probs: their log-probabilities, as the search used them, [batch, growing, vocabulary].
    parents: for each hypothesis after the step, the index before the step of the one it extends,
        [batch, beam].
    tokens: ids of the hypotheses after the step, [batch, beam, position + 1]; best first.
    total: log-probability of each hypothesis, [batch, beam]; -inf for an unused slot.
    scores: total divided by the length penalty, [batch, beam].
    finished: whether each hypothesis has ended, [batch, beam].
    cross_attention: of the new position over the source, [batch, beam, layer, head, source].
    decoder_attention: of the new position over all positions, start token first,
        [batch, beam, layer, head, position + 1].
    growing: the beam slots, before the step, of the hypotheses in ``logits``, [batch, growing],
        and the padding id; None if every hypothesis could grow.
    """

    position: int
    logits: Tensor
    next_log_probs: Tensor
    parents: Tensor
    tokens: Tensor
    total: Tensor
    scores: Tensor
    finished: Tensor
    cross_attention: Tensor | None
    decoder_attention: Tensor | None
    growing: tuple[Tensor, int] | None = None

    @cached_property
    def log_probs(self) -> Tensor:
        """[batch, beam, vocabulary]; row (b, k) belongs to the k-th hypothesis before the step.

        A finished hypothesis continues with one padding token of log-probability 0. Computed on
        first access, since the search itself does not need it.
        """
        if self.growing is None:
            return self.next_log_probs
        slots, pad_id = self.growing
        batch, growing, vocabulary = self.next_log_probs.shape
        found = self.next_log_probs.new_full((batch, 2 * growing, vocabulary), -torch.inf)
        found[..., pad_id] = 0.0
        where = slots[..., None].expand_as(self.next_log_probs)
        return found.scatter(1, where, self.next_log_probs)

    def candidates(self, count: int, sentence: int = 0, hypothesis: int = 0) -> list[Candidate]:
        """The most probable next tokens of one hypothesis, best first."""
        row = self.log_probs[sentence, hypothesis]
        values, ids = row.topk(min(count, len(row)))
        return [Candidate(*pair) for pair in zip(ids.tolist(), values.tolist(), strict=True)]

    def hypotheses(self, eos_id: int, sentences: Sequence[int]) -> list[list[Hypothesis]]:
        """The hypotheses of some sentences after this step, best first."""
        beam = (self.tokens, self.total, self.scores, self.finished)
        chosen = torch.tensor(sentences, dtype=torch.long, device=self.tokens.device)
        # Copy whole tensors: row by row, the copies would cost more than the search's last step.
        parts = zip(*(part[chosen].tolist() for part in beam), strict=True)
        return [
            [
                Hypothesis(up_to(eos_id, tokens), total, score, finished)
                for tokens, total, score, finished in zip(*rows, strict=True)
                if total != -math.inf  # an unused slot
            ]
            for rows in parts
        ]


def up_to(eos_id: int, tokens: Sequence[int]) -> tuple[int, ...]:
    """The tokens up to and including the first <eos>."""
    return tuple(tokens[: tokens.index(eos_id) + 1] if eos_id in tokens else tokens)


@dataclass(frozen=True)
class Decoded:
    """The output for one input.

    margin: the smallest gap, over all decisions of the search, between what was chosen and the
        best alternative: in log-probability, for a beam divided by the length penalty; inf if
        the caller did not ask for it. If it is smaller than rounding errors, the output may
        differ in another batch.
    """

    hypothesis: Hypothesis
    margin: float


Outcomes = Iterator[Mapping[int, Decoded]]
"""After each step of a search: the sentences that this step finished, by their batch index."""

Search = Callable[[Transformer, Tensor], Iterable["DecodingStep"]]
"""A :class:`Strategy`, or a function that yields steps for padded sources, such as ``greedy``."""


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A decoding strategy, with the options that all strategies share.

    max_length: most tokens to generate; None allows as many as the model has positions.
    force_end: write <eos> as the last token that fits. None: only if the model's config
        asks for it and no ``max_length`` is given, because an output cut by a page's limit has
        not ended.
    attention: record the attention weights of each new position.
    cached: False recomputes all positions at every step. It is slow, but simple: the reference
        in the tests, and the only mode in which hooks see all positions.
    """

    max_length: int | None = None
    force_end: bool | None = None
    attention: bool = False
    cached: bool = True

    @property
    def width(self) -> int:
        """How many hypotheses of each sentence grow at the same time."""
        return 1

    @abstractmethod
    def __call__(self, model: Transformer, source: Tensor) -> Iterator[DecodingStep]:
        """Yield the steps of decoding a padded batch, [batch, source] ids."""

    @torch.inference_mode()
    def outputs(self, model: Transformer, source: Tensor) -> list[Hypothesis]:
        """The best output of each sentence of a padded batch, [batch, source] ids."""
        found: dict[int, Decoded] = {}
        for new in self._outcomes(model, source, 0, margins=False):
            found.update(new)
        return [found[place].hypothesis for place in range(len(source))]

    @torch.inference_mode()
    def outcomes(
        self, model: Transformer, source: Tensor, *, stop_at: float = 0, margins: bool = True
    ) -> Outcomes:
        """Yield the output of each sentence of a padded batch, [batch, source] ids, when it ends.

        Args:
            stop_at: the search stops once at most this many sentences are unfinished, and yields
                nothing for them.
            margins: whether to compute :attr:`Decoded.margin`.
        """
        yield from self._outcomes(model, source, stop_at, margins)

    def _outcomes(
        self, model: Transformer, source: Tensor, stop_at: float, margins: bool
    ) -> Outcomes:
        """Implements :meth:`outcomes` by running the steps. The built-in strategies override it
        with a lean search, which makes no steps, since only the app shows them."""
        found = outputs_of(self, model, source)
        yield {place: Decoded(one, math.inf) for place, one in enumerate(found)}

    def limit(self, model: Transformer) -> int:
        """The maximum number of tokens to generate."""
        return output_limit(model, self.max_length)

    def forces_end(self, model: Transformer) -> bool:
        """Whether the last token that fits must be <eos>."""
        if self.force_end is not None:
            return self.force_end
        return model.config.forces_end and self.max_length is None

    def engine(self, model: Transformer, source: Tensor) -> StepDecoder:
        """The engine that computes the logits of each step."""
        return step_decoder(
            model, source, beam_size=self.width, attention=self.attention, cached=self.cached
        )


def outputs_of(search: Search, model: Transformer, source: Tensor) -> list[Hypothesis]:
    """The best hypothesis of each sentence after a search's last step."""
    best: DecodingStep | None = None
    for step in search(model, source):
        best = step
    assert best is not None  # every search yields at least one step
    found = best.hypotheses(model.config.eos_id, range(source.size(0)))
    return [max(beam, key=lambda one: (one.finished, one.score)) for beam in found]


def length_penalty(length: int, alpha: float, kind: str = "paper") -> float:
    """The divisor of log-probabilities in beam search: ((5 + length) / 6)^α.

    The paper cites it in section 6.1 (α = 0.6) from Wu et al. (2016), equation 14. With kind
    "length" it is length^α, as in Hugging Face's ``generate``.
    """
    return float((length if kind == "length" else (5 + length) / 6) ** alpha)


def output_limit(model: Transformer, max_length: int | None) -> int:
    """The maximum number of tokens to generate: ``max_length``, at most the model's positions."""
    room = model.config.max_length
    if max_length is None:
        return min(model.config.longest_output or room, room)
    return max(1, min(max_length, room))


def normalised(logits: Tensor, config: TransformerConfig, end: bool = False) -> Tensor:
    """Log-probabilities of the next token, [..., vocabulary].

    Padding gets -inf if ``pad_in_output`` forbids it; with ``end``, <eos> gets all probability.

    Raises:
        CheckpointError: the weights are finite, but the logits are not.
    """
    if config.pad_in_output == "renormalised":
        logits = logits.clone()  # the caller's logits stay unchanged
        logits[..., config.pad_id] = -torch.inf
    log_probs = torch.log_softmax(logits, dim=-1)
    # A NaN or +inf logit makes its whole row NaN, and so the sum of any column.
    if math.isnan(log_probs.select(-1, 0).sum()):
        raise CheckpointError(OVERFLOWING)
    if config.pad_in_output == "cut":
        log_probs[..., config.pad_id] = -torch.inf
    if end:
        log_probs = torch.full_like(log_probs, -torch.inf)
        log_probs[..., config.eos_id] = 0.0
    return log_probs


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """Ragged lists of ids as one tensor: [batch, longest]."""
    longest = max(map(len, rows))
    padded = [[*row, *[pad_id] * (longest - len(row))] for row in rows]
    return torch.from_numpy(np.array(padded, np.int64))  # several times faster than torch.tensor

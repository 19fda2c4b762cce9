"""What every decoding strategy shares: its options, the steps it yields, and their arithmetic.

A strategy is a frozen object. Called with a model and a padded batch of sources, it yields one
:class:`DecodingStep` for each position written. The command line drains the steps; the app keeps
them and lets a person walk through them.
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
    """One output so far, or a finished one.

    tokens: ids after the start token, with <eos> if finished.
    log_prob: sum of the tokens' log-probabilities, natural logarithm.
    score: log_prob over the length penalty; what beam search ranks by.
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
    logits: of this position, as the model computed them, [batch, growing, vocabulary]: of the
        hypotheses before the step that could grow.
    next_log_probs: their log-probabilities, as the search used them, [batch, growing, vocabulary].
    parents: which hypothesis before the step each one after it grew from, [batch, beam].
    tokens: ids of the hypotheses after the step, [batch, beam, position + 1]; best first.
    total: their log-probabilities, [batch, beam]; -inf for a slot not in use.
    scores: the same over the length penalty, [batch, beam].
    finished: whether they ended, [batch, beam].
    cross_attention: of the new position over the source, [batch, beam, layer, head, source].
    decoder_attention: over the positions so far, start token first,
        [batch, beam, layer, head, position + 1].
    growing: where the hypotheses of ``logits`` stood in the beam before the step,
        [batch, growing], and the id of padding; None where every hypothesis could grow.
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

        A finished one is continued by one padding token at no cost. Made when asked for, since
        a search alone has no use for it.
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
        # A few large copies: row by row they would cost more than the search's last step.
        parts = zip(*(part[chosen].tolist() for part in beam), strict=True)
        return [
            [
                Hypothesis(up_to(eos_id, tokens), total, score, finished)
                for tokens, total, score, finished in zip(*rows, strict=True)
                if total != -math.inf  # a slot not in use
            ]
            for rows in parts
        ]


def up_to(eos_id: int, tokens: Sequence[int]) -> tuple[int, ...]:
    """The tokens as far as the first <eos>, which is the last of them."""
    return tuple(tokens[: tokens.index(eos_id) + 1] if eos_id in tokens else tokens)


@dataclass(frozen=True)
class Decoded:
    """What was written for one input.

    margin: how near the nearest decision was to falling otherwise, in log-probability (for a
        beam, over the length penalty); inf where nobody asked. What is nearer than rounding
        errors may come out otherwise in another batch.
    """

    hypothesis: Hypothesis
    margin: float


Outcomes = Iterator[Mapping[int, Decoded]]
"""After every step of a search what is done and was not before, by its place in the batch."""

Search = Callable[[Transformer, Tensor], Iterable["DecodingStep"]]
"""A :class:`Strategy`, or a function that yields steps for padded sources, such as ``greedy``."""


@dataclass(frozen=True, kw_only=True)
class Strategy(ABC):
    """A way to write outputs, with the options that every one of them has.

    max_length: most tokens to generate; None goes up to the model's positions.
    force_end: write <eos> as the last token that fits. None does so where the model asks for it
        and no ``max_length`` is given: what a page cuts has found no end.
    attention: record what each new position attended to.
    cached: False computes everything again at every step: the slow obvious way, which is the
        oracle in the tests, and the one on which a hook meets all positions.
    """

    max_length: int | None = None
    force_end: bool | None = None
    attention: bool = False
    cached: bool = True

    @property
    def width(self) -> int:
        """Hypotheses that grow at once for each sentence."""
        return 1

    @abstractmethod
    def __call__(self, model: Transformer, source: Tensor) -> Iterator[DecodingStep]:
        """Write outputs for some sources: padded ids, [batch, source]."""

    @torch.inference_mode()
    def outputs(self, model: Transformer, source: Tensor) -> list[Hypothesis]:
        """The best output of each sentence of a padded batch, [batch, source] ids."""
        found: dict[int, Decoded] = {}
        for new in self._outcomes(model, source, 0, margins=False):
            found.update(new)
        return [found[place].hypothesis for place in range(len(source))]

    @torch.inference_mode()
    def outcomes(
        self, model: Transformer, source: Tensor, *, few: float = 0, margins: bool = True
    ) -> Outcomes:
        """What becomes of each sentence of a padded batch, [batch, source] ids.

        Args:
            few: the search ends when so many are left, and says nothing of them.
            margins: whether they are asked for.
        """
        yield from self._outcomes(model, source, few, margins)

    def _outcomes(self, model: Transformer, source: Tensor, few: float, margins: bool) -> Outcomes:
        """As :meth:`outcomes`, from the steps. Those of the library's own strategies make none:
        steps are for a person who watches."""
        found = outputs_of(self, model, source)
        yield {place: Decoded(one, math.inf) for place, one in enumerate(found)}

    def limit(self, model: Transformer) -> int:
        """Most tokens that will be generated."""
        return output_limit(model, self.max_length)

    def forces_end(self, model: Transformer) -> bool:
        """Whether the last token that fits is to be <eos>."""
        if self.force_end is not None:
            return self.force_end
        return model.config.forces_end and self.max_length is None

    def engine(self, model: Transformer, source: Tensor) -> StepDecoder:
        """What computes the steps."""
        return step_decoder(
            model, source, beam_size=self.width, attention=self.attention, cached=self.cached
        )


def outputs_of(search: Search, model: Transformer, source: Tensor) -> list[Hypothesis]:
    """What a search's last step came to: the best hypothesis of each sentence."""
    best: DecodingStep | None = None
    for step in search(model, source):
        best = step
    assert best is not None  # every search yields at least one step
    found = best.hypotheses(model.config.eos_id, range(source.size(0)))
    return [max(beam, key=lambda one: (one.finished, one.score)) for beam in found]


def length_penalty(length: int, alpha: float, kind: str = "paper") -> float:
    """((5 + length) / 6)^α: what beam search divides log-probabilities by.

    The paper cites it in section 6.1 (α = 0.6) from Wu et al. (2016), equation 14. The other
    kind, "length", is length^α, as Hugging Face's ``generate`` has it.
    """
    return float((length if kind == "length" else (5 + length) / 6) ** alpha)


def output_limit(model: Transformer, max_length: int | None) -> int:
    """Most tokens to generate: as many as asked for, and no more than there are positions."""
    room = model.config.max_length
    if max_length is None:
        return min(model.config.longest_output or room, room)
    return max(1, min(max_length, room))


def normalised(logits: Tensor, config: TransformerConfig, end: bool = False) -> Tensor:
    """Log-probabilities of the next token, [..., vocabulary].

    Padding gets none where the config says so; with ``end``, <eos> gets all.

    Raises:
        CheckpointError: the weights are finite, but what comes of them is not.
    """
    if config.pad_in_output == "renormalised":
        logits = logits.clone()  # nobody else's logits are changed
        logits[..., config.pad_id] = -torch.inf
    log_probs = torch.log_softmax(logits, dim=-1)
    # One that is not a number makes all of its row so, and any sum with it.
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
    return torch.from_numpy(np.array(padded, np.int64))  # a few times as fast as torch.tensor

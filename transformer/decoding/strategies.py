"""Decoding strategies: greedy and sampling here, beam search in :mod:`decoding.beam`.

All run on a key-value cache and are batched over sentences. To add a strategy, write a subclass
of :class:`SingleHypothesis` and give it a row on the Decode page, in
pages/components/decoding/strategies.py.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformer.config import SamplingConfig
from transformer.decoding.beam import Beam
from transformer.decoding.engines.engine import batch_steps
from transformer.decoding.engines.single import NumpySteps
from transformer.decoding.lean import Rows, greedy_single, numbers
from transformer.decoding.next_token import PLAIN, draw, next_token
from transformer.decoding.steps import (
    Decoded,
    DecodingStep,
    Hypothesis,
    Outcomes,
    Search,
    Strategy,
    normalised,
    outputs_of,
)
from transformer.model import Transformer

Choose = Callable[[int, Tensor, Tensor], Tensor]
"""Chooses the next tokens: (position, sentence indices [batch], log-probabilities
[batch, vocabulary]) -> token ids [batch]."""


@dataclass(frozen=True, kw_only=True)
class SingleHypothesis(Strategy):
    """Decodes one hypothesis per sentence; the subclass chooses each token.

    prefix: ids that the output must start with; their steps are yielded too, with the
        model's own probabilities.
    """

    prefix: tuple[int, ...] = ()

    @abstractmethod
    def _chooser(self, model: Transformer, batch: int) -> Choose:
        """The function that chooses each position's tokens, for ``batch`` sentences."""

    def _gap(self, log_probs: Tensor, chosen: Tensor) -> Tensor:
        """The gap in log-probability between each chosen token and the best other one, [batch].

        inf if the highest log-probability does not decide, as in sampling.
        """
        return torch.full_like(log_probs[:, 0], torch.inf)

    def _outcomes(
        self, model: Transformer, source: Tensor, stop_at: float, margins: bool
    ) -> Outcomes:
        config, steps = model.config, batch_steps(model, source, cached=self.cached)
        limit, forced = self.limit(model), self.forces_end(model)
        choose = self._chooser(model, len(source))
        rows = Rows(len(source), stop_at)
        sentences = torch.arange(len(source), device=source.device)  # rows.sentences as a tensor
        tokens = torch.full_like(sentences, config.decoder_start_id)
        written = np.empty((len(source), limit), np.int64)
        total = numbers(torch.zeros(len(source), dtype=steps.dtype))
        nearest = np.full(len(source), np.inf)
        for position in range(limit):
            last = position == limit - 1
            log_probs = normalised(steps.after(tokens), config, forced and last)
            if position < len(self.prefix):
                tokens = torch.full_like(tokens, self.prefix[position])
            else:
                tokens = choose(position, sentences, log_probs)
                if margins:
                    nearest = np.minimum(nearest, numbers(self._gap(log_probs, tokens)))
            total += numbers(log_probs.gather(1, tokens[:, None])[:, 0])
            written[:, position] = new = tokens.cpu().numpy()
            ended = new == config.eos_id
            done: dict[int, Decoded] = {}
            for row in np.flatnonzero(rows.unfinished & (ended | last)).tolist():
                path, log_prob = tuple(written[row, : position + 1].tolist()), float(total[row])
                hypothesis = Hypothesis(path, log_prob, log_prob, bool(ended[row]))
                done[int(rows.sentences[row])] = Decoded(hypothesis, float(nearest[row]))
            yield done
            if rows.end(ended) or last:
                return
            sentences, tokens, written, total, nearest = rows.drop(
                steps, sentences, tokens, written, total, nearest
            )

    @torch.inference_mode()
    def __call__(self, model: Transformer, source: Tensor) -> Iterator[DecodingStep]:
        config, prefix = model.config, self.prefix
        batch = source.size(0)
        limit, forced = self.limit(model), self.forces_end(model)
        choose = self._chooser(model, batch)
        steps = self.engine(model, source)
        written = source.new_full((batch, 1), config.decoder_start_id)  # [batch, 1 + position]
        total = torch.zeros(batch, dtype=model.dtype, device=source.device)
        finished = torch.zeros(batch, dtype=torch.bool, device=source.device)
        parents = torch.zeros(batch, 1, dtype=torch.long, device=source.device)
        sentences = torch.arange(batch, device=source.device)
        ended = 0  # number of finished sentences
        for position in range(limit):
            end = forced and position == limit - 1
            logits = steps.logits(written.unsqueeze(1))
            log_probs = normalised(logits, config, end).squeeze(1)
            cross, own = steps.attention() if self.attention else (None, None)
            if position < len(prefix):
                chosen = written.new_full((len(written),), prefix[position])
            else:
                chosen = choose(position, sentences, log_probs)  # [batch]
            if ended:
                chosen = chosen.masked_fill(finished, config.pad_id)
            gained = log_probs.gather(1, chosen.unsqueeze(1)).squeeze(1)
            total = total + (gained.masked_fill(finished, 0.0) if ended else gained)
            finished = finished | (chosen == config.eos_id)
            written = torch.cat([written, chosen.unsqueeze(1)], dim=1)
            totals = total.unsqueeze(1)
            yield DecodingStep(
                position=position,
                logits=logits,
                next_log_probs=log_probs.unsqueeze(1),
                parents=parents,
                tokens=written.narrow(1, 1, position + 1).unsqueeze(1),
                total=totals,
                scores=totals,
                finished=finished.unsqueeze(1),
                cross_attention=cross,
                decoder_attention=own,
            )
            ended = int(finished.sum())
            if ended == len(finished):
                return


@dataclass(frozen=True)
class Greedy(SingleHypothesis):
    """Take the most probable token at each position, until every sentence has ended."""

    def _chooser(self, model: Transformer, batch: int) -> Choose:
        return lambda position, sentences, log_probs: log_probs.argmax(dim=-1)

    @torch.inference_mode()
    def outputs(self, model: Transformer, source: Tensor) -> list[Hypothesis]:
        """Search a single sentence in NumPy: tensor operations would double the time of a step."""
        steps = self.engine(model, source) if len(source) == 1 else None
        if not isinstance(steps, NumpySteps):
            return super().outputs(model, source)
        limit, forced = self.limit(model), self.forces_end(model)
        return [greedy_single(steps, model.config, limit, forced, self.prefix)]

    def _gap(self, log_probs: Tensor, chosen: Tensor) -> Tensor:
        places = chosen[:, None]
        others = log_probs.scatter(1, places, -torch.inf).amax(dim=1)
        return log_probs.gather(1, places)[:, 0] - others


@dataclass(frozen=True)
class Sampling(SingleHypothesis):
    """Draw each token by its probability, until every sentence has ended.

    The random number at a position depends on the seed and the sentence's index in the batch, not
    on the tokens before it: another prefix or temperature changes the probabilities, but not the
    number. The steps' log-probabilities are the model's own, before temperature, top-k and top-p.
    """

    sampling: SamplingConfig = PLAIN

    def _chooser(self, model: Transformer, batch: int) -> Choose:
        generator = torch.Generator().manual_seed(self.sampling.seed)
        # Drawn in advance: a position's number depends only on the seed and the sentence's index.
        drawn = torch.rand(self.limit(model), batch, generator=generator, dtype=torch.float64)

        def choose(position: int, sentences: Tensor, log_probs: Tensor) -> Tensor:
            found = next_token(log_probs, self.sampling)
            return draw(found, drawn[position].to(log_probs.device)[sentences])

        return choose


def greedy(model: Transformer, source: Tensor, **options: Any) -> Iterator[DecodingStep]:
    """The steps of :class:`Greedy` with these options, for padded ids, [batch, source]."""
    return Greedy(**options)(model, source)


def sample(
    model: Transformer,
    source: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    **options: Any,
) -> Iterator[DecodingStep]:
    """The steps of :class:`Sampling`, with the fields of its config as separate arguments.

    Raises:
        ConfigError: a value is out of range.
    """
    sampling = SamplingConfig(temperature, top_k, top_p, seed)
    return Sampling(sampling=sampling, **options)(model, source)


def beam_search(
    model: Transformer, source: Tensor, *, beam_size: int = 4, **options: Any
) -> Iterator[DecodingStep]:
    """The steps of :class:`Beam` with these options, for padded ids, [batch, source]."""
    return Beam(beam_size, **options)(model, source)


GREEDY = Greedy()


def by_beam_size(size: int, alpha: float, max_length: int | None = None) -> Greedy | Beam:
    """Beam search; for size 1 greedy search, which finds the same and costs less per step."""
    if size == 1:
        return Greedy(max_length=max_length)
    return Beam(size, alpha, max_length=max_length)


def decode(
    model: Transformer,
    source: Tensor,
    strategy: Search = GREEDY,
) -> list[Hypothesis]:
    """The best output of each sentence of a padded batch: [batch, source] ids -> hypotheses.

    Args:
        strategy: an object such as ``Beam(4)``, or a function that yields steps, such as
            :func:`greedy`.
    """
    if isinstance(strategy, Strategy):
        return strategy.outputs(model, source)
    return outputs_of(strategy, model, source)

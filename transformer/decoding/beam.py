"""Beam search: the paper's, and Hugging Face's, to compare a model with its export there."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.decoding.engines.engine import batch_steps
from transformer.decoding.lean_beam import Candidates, paper_beam, pooled_beam
from transformer.decoding.steps import (
    DecodingStep,
    Outcomes,
    Strategy,
    length_penalty,
    normalised,
)
from transformer.model import Transformer


@dataclass(frozen=True)
class Beam(Strategy):
    """Keep the ``size`` best hypotheses at each position (section 6.1: beam 4, α 0.6).

    alpha: exponent of :func:`length_penalty`; 0 ranks by log-probability alone.
    penalty: "paper" selects :func:`_paper_search`; "length" selects :func:`_pooled_search`, which
        is Hugging Face's; None selects by the model's config.
    """

    size: int = 4
    alpha: float = 0.6
    penalty: str | None = None

    @property
    def width(self) -> int:
        return self.size

    def __call__(self, model: Transformer, source: Tensor) -> Iterator[DecodingStep]:
        search = _pooled_search if self.kind(model) == "length" else _paper_search
        return search(self, model, source)

    def _outcomes(
        self, model: Transformer, source: Tensor, stop_at: float, margins: bool
    ) -> Outcomes:
        steps = batch_steps(model, source, beam_size=self.width, cached=self.cached)
        limit, forced = self.limit(model), self.forces_end(model)
        grow = Candidates(steps, model.config, limit, forced, stop_at)
        search = pooled_beam if self.kind(model) == "length" else paper_beam
        yield from search(grow, self.size, self.alpha, margins)

    def kind(self, model: Transformer) -> str:
        """Which of the two searches runs: "paper" or "length"."""
        return self.penalty or model.config.length_penalty


@torch.inference_mode()
def _paper_search(search: Beam, model: Transformer, source: Tensor) -> Iterator[DecodingStep]:
    """A finished hypothesis stays in the beam with its score and competes with growing ones.

    A sentence is done when all its hypotheses are finished, or when no growing one can still
    score better than the best finished one.
    """
    config, beam_size = model.config, search.size
    forced = search.forces_end(model)
    batch, limit = source.size(0), search.limit(model)
    steps = search.engine(model, source)
    device, dtype = source.device, model.dtype
    written = source.new_full((batch, beam_size, 1), config.decoder_start_id)
    # All hypotheses start equal, so only the first may grow at the first step.
    total = torch.full((batch, beam_size), -torch.inf, dtype=dtype, device=device)
    total[:, 0] = 0.0
    lengths = torch.zeros(batch, beam_size, dtype=torch.long, device=device)
    finished = torch.zeros(batch, beam_size, dtype=torch.bool, device=device)
    by_length = [length_penalty(n, search.alpha) for n in range(limit + 1)]
    penalties = torch.tensor(by_length, dtype=dtype).to(device)
    for position in range(limit):
        end = forced and position == limit - 1
        logits = steps.logits(written)  # [batch, beam, vocabulary]
        log_probs = normalised(logits, config, end)
        cross, own = steps.attention() if search.attention else (None, None)
        # A finished hypothesis continues with one padding token of log-probability 0.
        padding = torch.full_like(log_probs, -torch.inf)
        padding[..., config.pad_id] = 0.0
        extended = total[..., None] + torch.where(finished[..., None], padding, log_probs)
        new_lengths = lengths + ~finished  # [batch, beam]
        ranked = extended / penalties[new_lengths][..., None]
        scores, best = ranked.flatten(1).topk(beam_size)  # [batch, beam], best first
        parents, chosen = best // log_probs.size(-1), best % log_probs.size(-1)
        total = extended.flatten(1).gather(1, best)
        lengths = new_lengths.gather(1, parents)
        finished = finished.gather(1, parents) | (chosen == config.eos_id)
        written = _grown(written, parents, chosen)
        # Log-probabilities only fall, so no growing hypothesis can score better than this.
        hope = torch.where(finished, -torch.inf, total / penalties[limit]).amax(dim=1)
        ended = torch.where(finished, scores, -torch.inf).amax(dim=1)
        steps.follow(parents)
        yield DecodingStep(
            position=position,
            logits=logits,
            next_log_probs=log_probs,
            parents=parents,
            tokens=written[..., 1:],
            total=total,
            scores=scores,
            finished=finished,
            cross_attention=None if cross is None else _chosen(cross, parents),
            decoder_attention=None if own is None else _chosen(own, parents),
        )
        if (ended >= hope).all():
            return


@torch.inference_mode()
def _pooled_search(search: Beam, model: Transformer, source: Tensor) -> Iterator[DecodingStep]:
    """The search of Hugging Face's ``generate``, written from its documentation and measurements.

    It differs from the paper's in four ways. A finished hypothesis moves from the beam to a
    separate pool, so that ``size`` others always grow; a step's beam holds both. It enters the
    pool only if it is among the best ``size`` candidates of its step. Log-probabilities are
    divided by length^α, where <eos> counts and the start token does not. A sentence is done when
    the pool is full and no growing hypothesis, at its current length, scores better than the
    worst in the pool. That is an estimate: at a greater length it may still score better.
    """
    config, beam_size, alpha = model.config, search.size, search.alpha
    batch, limit = source.size(0), search.limit(model)
    forced = search.forces_end(model)
    steps = search.engine(model, source)
    device, dtype = source.device, model.dtype
    written = source.new_full((batch, beam_size, 1), config.decoder_start_id)
    pool = written.clone()  # padded to the length of ``written``
    total = torch.full((batch, beam_size), -torch.inf, dtype=dtype, device=device)
    pool_total, pool_scores = total.clone(), total.clone()
    total[:, 0] = 0.0  # all start equal, so only the first may grow at the first step
    pool_ended = torch.zeros(batch, beam_size, dtype=torch.bool, device=device)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    # The slot of each in the previous step's beam: first those that grew, then the pool.
    places = torch.arange(2 * beam_size, device=device).expand(batch, -1)
    for position in range(limit):
        last = position == limit - 1
        logits = steps.logits(written)  # [batch, beam, vocabulary]
        log_probs = normalised(logits, config, forced and last)
        cross, own = steps.attention() if search.attention else (None, None)
        size = log_probs.size(-1)
        extended = (total[..., None] + log_probs).flatten(1)
        top, best = extended.topk(min(2 * beam_size, extended.size(1)))
        origin, token = best // size, best % size
        ends = token == config.eos_id
        penalty = length_penalty(position + 1, alpha, "length")

        # --- the pool: the best candidates that end; at the length limit, all of them -------
        arriving = (ends | last)[:, :beam_size] & ~done[:, None]
        new_scores = torch.where(arriving, top[:, :beam_size] / penalty, -torch.inf)
        pool_scores, kept = torch.cat([pool_scores, new_scores], 1).topk(beam_size)
        pool_total = torch.cat([pool_total, top[:, :beam_size]], 1).gather(1, kept)
        pool_total = pool_total.masked_fill(pool_scores == -torch.inf, -torch.inf)
        pool_ended = torch.cat([pool_ended, ends[:, :beam_size]], 1).gather(1, kept)
        pool = torch.cat([pool, pool.new_full((*pool.shape[:2], 1), config.pad_id)], 2)
        new = _grown(written, origin[:, :beam_size], token[:, :beam_size])
        pool = _rows(torch.cat([pool, new], 1), kept)
        # Index of each one's source: a hypothesis that grew (0 …) or the pool (beam_size …).
        older = torch.arange(beam_size, 2 * beam_size, device=device).expand(len(pool), -1)
        pool_from = torch.cat([older, origin[:, :beam_size]], 1).gather(1, kept)

        # --- the growing hypotheses: the best candidates that do not end --------------------
        open_ones = top.masked_fill(ends, -torch.inf)
        if last:
            open_ones = torch.full_like(open_ones, -torch.inf)
        total, chosen = open_ones.topk(min(beam_size, open_ones.size(1)))
        parents = origin.gather(1, chosen)
        written = _grown(written, parents, token.gather(1, chosen))

        # --- whether the search of each sentence is over -------------------------------------
        worst = pool_scores[:, -1]
        if config.early_stopping == "full":
            over = worst > -torch.inf
        else:
            length = limit if config.early_stopping == "never" and alpha > 0 else position + 1
            hope = total[:, 0] / length_penalty(length, alpha, "length")
            over = hope <= worst
        done = done | over

        # --- the step, best first -------------------------------------------------------------
        at_limit = ~pool_ended if last else torch.zeros_like(pool_ended)
        if last:
            # Hypotheses cut at the limit compete with finished ones: if one wins, it is the answer.
            lost = pool_ended & (at_limit[:, :1])
            pool_total, pool_scores = (
                value.masked_fill(lost, -torch.inf) for value in (pool_total, pool_scores)
            )
        everything = torch.cat([total, pool_total], 1)
        scores, order = torch.cat([total / penalty, pool_scores], 1).sort(
            dim=1, descending=True, stable=True
        )
        came_from = torch.cat([parents, pool_from], 1).gather(1, order)
        growing = torch.zeros_like(pool_ended)
        seen_by = came_from.clamp(max=beam_size - 1)
        yield DecodingStep(
            position=position,
            logits=logits,
            next_log_probs=log_probs,
            parents=places.gather(1, came_from),
            tokens=_rows(torch.cat([written, pool], 1), order)[..., 1:],
            total=everything.gather(1, order),
            scores=scores,
            finished=torch.cat([growing, pool_ended], 1).gather(1, order),
            cross_attention=None if cross is None else _chosen(cross, seen_by),
            decoder_attention=None if own is None else _chosen(own, seen_by),
            growing=(places[:, :beam_size], config.pad_id),
        )
        if done.all() or last:
            return
        places = order.argsort(1)
        steps.follow(parents)


def _chosen(values: Tensor, which: Tensor) -> Tensor:
    """Select from the beam: [batch, beam, ...], indices [batch, chosen] -> [batch, chosen, ...]."""
    return values[torch.arange(len(which), device=which.device)[:, None], which]


def _rows(values: Tensor, which: Tensor) -> Tensor:
    """[batch, hypothesis, length], indices [batch, chosen] -> [batch, chosen, length]."""
    return values.gather(1, which[..., None].expand(*which.shape, values.size(2)))


def _grown(written: Tensor, parents: Tensor, tokens: Tensor) -> Tensor:
    """The parents, each with one more token: [batch, chosen, length + 1]."""
    return torch.cat([_rows(written, parents), tokens[..., None]], dim=2)

"""Beam search as Hugging Face's ``generate`` does it, to compare a model with itself there.

It differs from :func:`beam_search` in four ways. A finished hypothesis
leaves the beam for a pool of its own, so that ``beam_size`` others always grow. It may do so only
if it is among the best ``beam_size`` candidates of its step. Log-probabilities are divided by
length^α, <eos> counted, the start token not. And a sentence is done when the pool is full and
what grows, at its present length, scores no better than the worst in the pool: an estimate, since
a longer one may still score better. Written from the documentation, and measured against it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from transformer.decoding.engines.engine import step_decoder
from transformer.decoding.strategies import (
    DROPPED_FROM,
    DecodingStep,
    chosen_of,
    ends_by_force,
    length_penalty,
    normalised,
    output_limit,
)
from transformer.model import Transformer


@torch.inference_mode()
def pooled_search(
    model: Transformer,
    source: Tensor,
    *,
    beam_size: int = 4,
    alpha: float = 1.0,
    max_length: int | None = None,
    attention: bool = False,
    cached: bool = True,
    drop_done: bool = False,
    force_end: bool | None = None,
) -> Iterator[DecodingStep]:
    """Search; a step's beam has room for 2 · ``beam_size``: those that grow and the pool.

    Args: as for :func:`beam_search`.
    """
    config = model.config
    batch, limit = source.size(0), output_limit(model, max_length)
    forced = ends_by_force(model, max_length, force_end)
    steps = step_decoder(model, source, beam_size=beam_size, attention=attention, cached=cached)
    device, dtype = source.device, model.dtype
    sentences = torch.arange(batch, device=device)
    written = source.new_full((batch, beam_size, 1), config.decoder_start_id)
    pool = written.clone()  # as long as ``written``, padded
    total = torch.full((batch, beam_size), -torch.inf, dtype=dtype, device=device)
    pool_total, pool_scores = total.clone(), total.clone()
    total[:, 0] = 0.0  # all start alike, so only the first may grow at the first step
    pool_ended = torch.zeros(batch, beam_size, dtype=torch.bool, device=device)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    # Where the step before put each: first those that grew, then the pool.
    places = torch.arange(2 * beam_size, device=device).expand(batch, -1)
    for position in range(limit):
        last = position == limit - 1
        # [batch, beam, vocabulary]
        log_probs = normalised(steps.logits(written), config, forced and last)
        cross, own = steps.attention() if attention else (None, None)
        size = log_probs.size(-1)
        extended = (total[..., None] + log_probs).flatten(1)
        top, best = extended.topk(min(2 * beam_size + 1, extended.size(1)))
        origin, token = best // size, best % size
        ends = token == config.eos_id
        penalty = length_penalty(position + 1, alpha, "length")

        # --- the pool: what ended among the best, and at the limit all of them --------------
        arriving = (ends | last)[:, :beam_size] & ~done[:, None]
        new_scores = torch.where(arriving, top[:, :beam_size] / penalty, -torch.inf)
        pool_scores, kept = torch.cat([pool_scores, new_scores], 1).topk(beam_size)
        pool_total = torch.cat([pool_total, top[:, :beam_size]], 1).gather(1, kept)
        pool_total = pool_total.masked_fill(pool_scores == -torch.inf, -torch.inf)
        pool_ended = torch.cat([pool_ended, ends[:, :beam_size]], 1).gather(1, kept)
        pool = torch.cat([pool, pool.new_full((*pool.shape[:2], 1), config.pad_id)], 2)
        new = _grown(written, origin[:, :beam_size], token[:, :beam_size])
        pool = _rows(torch.cat([pool, new], 1), kept)
        # Each one's place among those that grew before (0 …) or in the pool (beam_size …).
        older = torch.arange(beam_size, 2 * beam_size, device=device).expand(len(pool), -1)
        pool_from = torch.cat([older, origin[:, :beam_size]], 1).gather(1, kept)

        # --- those that grow: the best that did not end -------------------------------------
        open_ones = top[:, : 2 * beam_size].masked_fill(ends[:, : 2 * beam_size], -torch.inf)
        if last:
            open_ones = torch.full_like(open_ones, -torch.inf)
        total, chosen = open_ones.topk(min(beam_size, open_ones.size(1)))
        parents = origin.gather(1, chosen)
        written = _grown(written, parents, token.gather(1, chosen))

        # --- whether the search of a sentence is over ----------------------------------------
        margin = _margin(top, beam_size, penalty)
        worst = pool_scores[:, -1]
        if config.early_stopping == "full":
            over = worst > -torch.inf
        else:
            length = limit if config.early_stopping == "never" and alpha > 0 else position + 1
            hope = total[:, 0] / length_penalty(length, alpha, "length")
            over = hope <= worst
            margin = torch.minimum(margin, (hope - worst).abs().nan_to_num(torch.inf, torch.inf))
        margin = margin.masked_fill(done, torch.inf)
        done = done | over

        # --- the step, best first -------------------------------------------------------------
        at_limit = ~pool_ended if last else torch.zeros_like(pool_ended)
        if last:
            # Cut ones compete with those that ended: where one wins, it is the answer.
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
            given=log_probs,
            parents=places.gather(1, came_from),
            tokens=_rows(torch.cat([written, pool], 1), order)[..., 1:],
            total=everything.gather(1, order),
            scores=scores,
            finished=torch.cat([growing, pool_ended], 1).gather(1, order),
            cross_attention=None if cross is None else chosen_of(cross, seen_by),
            decoder_attention=None if own is None else chosen_of(own, seen_by),
            margin=margin,
            sentences=sentences,
            listed=(places[:, :beam_size], config.pad_id),
        )
        if done.all() or last:
            return
        places = order.argsort(1)
        steps.follow(parents)
        if drop_done and done.sum() >= DROPPED_FROM * len(done):
            going = ~done
            steps.keep(going)
            written, total, pool, places = written[going], total[going], pool[going], places[going]
            pool_total, pool_scores = pool_total[going], pool_scores[going]
            pool_ended, done, sentences = pool_ended[going], done[going], sentences[going]


def _rows(values: Tensor, which: Tensor) -> Tensor:
    """[batch, hypothesis, length] by [batch, chosen] places -> [batch, chosen, length]."""
    return values.gather(1, which[..., None].expand(*which.shape, values.size(2)))


def _grown(written: Tensor, parents: Tensor, tokens: Tensor) -> Tensor:
    """Hypotheses with a token more: [batch, chosen, length + 1]."""
    return torch.cat([_rows(written, parents), tokens[..., None]], dim=2)


def _margin(top: Tensor, beam_size: int, penalty: float) -> Tensor:
    """How near two candidates are of which one was kept and the other perhaps not: [batch]."""
    near = (top[:, beam_size - 1 : -1] - top[:, beam_size:]) / penalty
    return near.nan_to_num(torch.inf, torch.inf).amin(dim=1)

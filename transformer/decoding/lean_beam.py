"""Lean beam searches: those of :mod:`beam` without a step per position, for the outputs alone.

The tests check that both find the same hypotheses. The state is in small NumPy arrays, where a
call costs a fraction of what it costs in PyTorch. A hypothesis is stored as one token and one
parent per position.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from transformer.config import TransformerConfig
from transformer.decoding.engines.engine import BatchSteps
from transformer.decoding.lean import Array, Rows, numbers
from transformer.decoding.steps import (
    Decoded,
    Hypothesis,
    Outcomes,
    length_penalty,
    normalised,
    up_to,
)


@dataclass
class Backpointers:
    """The tokens of all hypotheses: for each position, each one's token and parent.

    Both are [sentence, hypothesis]; entries of finished sentences that were dropped are stale.
    """

    tokens: list[Array] = field(default_factory=list)
    parents: list[Array] = field(default_factory=list)

    def add(self, sentences: Array, count: int, tokens: Array, parents: Array) -> None:
        for known, new in ((self.tokens, tokens), (self.parents, parents)):
            whole = np.empty((count, new.shape[1]), np.int32)
            whole[sentences] = new
            known.append(whole)

    def path(self, sentence: int, hypothesis: int, end: int | None = None) -> tuple[int, ...]:
        """The tokens of the hypothesis that had this index after ``end`` positions (None: all)."""
        found = []
        for position in reversed(range(len(self.tokens) if end is None else end)):
            found.append(int(self.tokens[position][sentence, hypothesis]))
            hypothesis = int(self.parents[position][sentence, hypothesis])
        return tuple(reversed(found))


class Candidates:
    """Computes the best continuations of all hypotheses of each sentence.

    backpointers: the hypotheses' tokens, by the sentence's index in the original batch.
    """

    def __init__(
        self,
        steps: BatchSteps,
        config: TransformerConfig,
        limit: int,
        forced: bool,
        stop_at: float,
    ) -> None:
        self.steps, self.config = steps, config
        self.limit, self.forced = limit, forced
        self.backpointers = Backpointers()
        self.count = steps.batch
        self.rows = Rows(self.count, stop_at)
        self.tokens = np.full((self.count, steps.beam), config.decoder_start_id)
        self.position = 0

    def top_continuations(self, total: Array, count: int) -> tuple[Array, Array, Array]:
        """The best continuations: log-probabilities, parents and tokens, [rows, count] each.

        Args:
            total: log-probabilities of the hypotheses, [rows, beam]; -inf for one that must not
                grow.
        """
        steps, rows = self.steps, len(total)
        logits = steps.after(torch.from_numpy(self.tokens.reshape(-1)).to(steps.device))
        found = normalised(logits, self.config, self.forced and self.position == self.limit - 1)
        found += torch.from_numpy(total.reshape(-1, 1)).to(found)
        size = found.size(1)
        values, places = found.view(rows, -1).topk(min(count, total.shape[1] * size))
        parents, tokens = np.divmod(places.cpu().numpy(), size)
        return numbers(values), parents, tokens

    def advance(self, parents: Array, tokens: Array) -> None:
        """Let hypothesis k continue hypothesis ``parents[:, k]`` with ``tokens[:, k]``."""
        self.backpointers.add(self.rows.sentences, self.count, tokens, parents)
        self.tokens = tokens
        self.position += 1
        if (parents != np.arange(parents.shape[1])).any():
            self.steps.follow(torch.from_numpy(parents).to(self.steps.device))

    def drop(self, *state: Array) -> tuple[Array, ...]:
        """Apply :meth:`Rows.drop` to the search's state."""
        self.tokens, *kept = self.rows.drop(self.steps, self.tokens, *state)
        return tuple(kept)


def paper_beam(grow: Candidates, size: int, alpha: float, margins: bool) -> Outcomes:
    """:func:`beam._paper_search` without steps: finished hypotheses stay in the beam."""
    rows, limit = grow.rows, grow.limit
    dtype = numbers(torch.zeros(0, dtype=grow.steps.dtype)).dtype
    total = np.full((grow.count, size), -np.inf, dtype)
    total[:, 0] = 0.0  # all start equal, so only the first may grow at the first step
    scores, finished = total.copy(), np.zeros((grow.count, size), bool)
    margin = np.full(grow.count, np.inf)
    penalties = np.array([length_penalty(n, alpha) for n in range(limit + 1)], dtype)
    slots = np.arange(size)
    for position in range(limit):
        # One more than the beam keeps: the runner-up gives the margin.
        top, parents, tokens = grow.top_continuations(np.where(finished, -np.inf, total), size + 1)
        ranked, ends = top / penalties[position + 1], tokens == grow.config.eos_id
        if finished.any():  # finished hypotheses compete with the score they already have
            top = np.concatenate([top, total], axis=1)
            ended = np.where(finished, scores, -np.inf)
            ranked = np.concatenate([ranked, ended], axis=1)
            order = np.argsort(-ranked, axis=1, kind="stable")[:, : size + 1]
            parts = (parents, slots), (tokens, grow.config.pad_id), (ends, finished)
            parents, tokens, ends = (
                np.concatenate([new, np.broadcast_to(old, total.shape)], axis=1)
                for new, old in parts
            )
            top, ranked, parents, tokens, ends = (
                np.take_along_axis(part, order, axis=1)
                for part in (top, ranked, parents, tokens, ends)
            )
        if margins:
            near = _difference(ranked[:, size - 1], ranked[:, size])
            margin = np.where(rows.unfinished, np.minimum(margin, near), margin)
        total, scores, finished = top[:, :size], ranked[:, :size], ends[:, :size]
        grow.advance(parents[:, :size], tokens[:, :size])
        over = np.zeros_like(rows.unfinished)
        if finished.any():
            # Log-probabilities only fall, so no growing hypothesis can score better than this.
            hope = np.where(finished, -np.inf, total).max(axis=1) / penalties[limit]
            ended = np.where(finished, scores, -np.inf).max(axis=1)
            over = rows.unfinished & (ended >= hope)
            margin = np.where(over, np.minimum(margin, ended - hope), margin)
        if position == limit - 1:
            over = rows.unfinished
        done: dict[int, Decoded] = {}
        for row in np.flatnonzero(over).tolist():
            sentence = int(rows.sentences[row])
            # The best finished hypothesis, or the best unfinished one if none finished.
            wanted = finished[row] if finished[row].any() else total[row] > -np.inf
            best, *others = np.flatnonzero(wanted).tolist()
            gap = float(scores[row, best] - scores[row, others[0]]) if others else np.inf
            path = up_to(grow.config.eos_id, grow.backpointers.path(sentence, best))
            hypothesis = Hypothesis(
                path, float(total[row, best]), float(scores[row, best]), bool(finished[row, best])
            )
            nearest = min(float(margin[row]), gap) if margins else np.inf
            done[sentence] = Decoded(hypothesis, nearest)
        yield done
        if rows.end(over):
            return
        total, scores, finished, margin = grow.drop(total, scores, finished, margin)


def pooled_beam(grow: Candidates, size: int, alpha: float, margins: bool) -> Outcomes:
    """:func:`beam._pooled_search` without steps: finished hypotheses move to a separate pool."""
    rows, limit = grow.rows, grow.limit
    dtype = numbers(torch.zeros(0, dtype=grow.steps.dtype)).dtype
    stopping = grow.config.early_stopping
    total = np.full((grow.count, size), -np.inf, dtype)
    pool_scores, pool_total = total.copy(), total.copy()
    pool_ended = np.zeros((grow.count, size), bool)
    # For each hypothesis in the pool: its last position, its parent, and its last token.
    pool_last = np.zeros((grow.count, size, 3), np.int64)
    total[:, 0] = 0.0  # all start equal, so only the first may grow at the first step
    margin = np.full(grow.count, np.inf)
    for position in range(limit):
        last = position == limit - 1
        top, origin, token = grow.top_continuations(total, 2 * size + 1)
        ends = token == grow.config.eos_id
        penalty = length_penalty(position + 1, alpha, "length")
        arriving = (ends | last)[:, :size] & rows.unfinished[:, None]
        if arriving.any():
            new = np.where(arriving, top[:, :size] / penalty, -np.inf).astype(dtype)
            at = np.stack([np.full_like(origin, position), origin, token], axis=2)[:, :size]
            everything = np.concatenate([pool_scores, new], axis=1)
            kept = np.argsort(-everything, axis=1, kind="stable")[:, :size]
            pool_scores = np.take_along_axis(everything, kept, axis=1)
            pool_total, pool_ended = (
                np.take_along_axis(np.concatenate([old, part[:, :size]], axis=1), kept, axis=1)
                for old, part in ((pool_total, top), (pool_ended, ends))
            )
            pool_last = np.take_along_axis(
                np.concatenate([pool_last, at], axis=1), kept[..., None], axis=1
            )
        if ends[:, : 2 * size].any():
            open_first = np.argsort(ends[:, : 2 * size], axis=1, kind="stable")[:, :size]
            total = np.where(ends, -np.inf, top).astype(dtype)
            total, parents, tokens = (
                np.take_along_axis(part, open_first, axis=1) for part in (total, origin, token)
            )
        else:
            total, parents, tokens = top[:, :size], origin[:, :size], token[:, :size]
        worst = pool_scores[:, -1]
        if last:
            over = rows.unfinished
        elif stopping == "full":
            over = rows.unfinished & (worst > -np.inf)
        else:
            length = limit if stopping == "never" and alpha > 0 else position + 1
            hope = total[:, 0] / length_penalty(length, alpha, "length")
            over = rows.unfinished & (hope <= worst)
        if margins:
            near = _difference(top[:, size - 1 : -1], top[:, size:]).min(axis=1) / penalty
            if stopping != "full" and not last:
                near = np.minimum(near, np.abs(_difference(hope, worst)))
            margin = np.where(rows.unfinished, np.minimum(margin, near), margin)
        done: dict[int, Decoded] = {}
        for row in np.flatnonzero(over).tolist():
            sentence = int(rows.sentences[row])
            where, parent, final = pool_last[row, 0].tolist()
            path = (*grow.backpointers.path(sentence, parent, where), final)
            ended = bool(pool_ended[row, 0])
            score = float(pool_scores[row, 0])
            # The next best in the pool that also finished, or was also cut.
            rivals = np.flatnonzero((pool_ended[row] == ended) & (pool_scores[row] > -np.inf))[
                1:
            ].tolist()
            gap = score - float(pool_scores[row, rivals[0]]) if rivals else np.inf
            nearest = min(float(margin[row]), gap) if margins else np.inf
            done[sentence] = Decoded(
                Hypothesis(path, float(pool_total[row, 0]), score, ended), nearest
            )
        yield done
        if rows.end(over):
            return
        grow.advance(parents, tokens)
        total, margin, pool_scores, pool_total, pool_ended, pool_last = grow.drop(
            total, margin, pool_scores, pool_total, pool_ended, pool_last
        )


def _difference(higher: Array, lower: Array) -> Array:
    """higher - lower; inf where ``lower`` is an unused slot."""
    with np.errstate(invalid="ignore"):
        return np.where(lower == -np.inf, np.inf, higher - lower)

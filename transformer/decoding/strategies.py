"""Writing the output token by token: greedy, sampling and beam search, on a key-value cache.

All are generators of :class:`DecodingStep`, batched over sentences. The command line
drains them; the app keeps the steps and lets a person walk through them. ``cached=False`` is
the slow obvious version, which computes everything anew at each step: the oracle in the tests.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from transformer.config.architecture import SamplingConfig, TransformerConfig
from transformer.decoding.engines.engine import step_decoder
from transformer.decoding.next_token import draw, next_token
from transformer.errors import CheckpointError
from transformer.model import Transformer


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
    given: what the model gave for this position, [batch, growing, vocabulary]: of the hypotheses
        before the step that could grow.
    parents: which hypothesis before the step each one after it grew from, [batch, beam].
    tokens: ids of the hypotheses after the step, [batch, beam, position + 1]; best first.
    total: their log-probabilities, [batch, beam]; -inf for a slot not in use.
    scores: the same over the length penalty, [batch, beam].
    finished: whether they ended, [batch, beam].
    cross_attention: of the new position over the source, [batch, beam, layer, head, source].
    decoder_attention: over the positions so far, start token first,
        [batch, beam, layer, head, position + 1].
    margin: how far the last candidate that was kept is above the first that was not, in what
        the search ranks by, [batch]; inf where nothing was to be chosen. What is nearer than
        rounding errors may come out otherwise in another batch. One road says it only where it
        drops what is done, which is where many go together.
    sentences: which rows of the source these are, [batch]; all, unless what is done is dropped.
    listed: where the step before listed those of ``given``, [batch, growing], and the id of
        padding; None where it listed no others.
    """

    position: int
    given: Tensor
    parents: Tensor
    tokens: Tensor
    total: Tensor
    scores: Tensor
    finished: Tensor
    cross_attention: Tensor | None
    decoder_attention: Tensor | None
    margin: Tensor | None = None
    sentences: Tensor | None = None
    listed: tuple[Tensor, int] | None = None

    @cached_property
    def log_probs(self) -> Tensor:
        """[batch, beam, vocabulary]; row (b, k) belongs to the k-th hypothesis before the step.

        A finished one goes on as itself: one padding token at no cost. Made when asked for,
        since a search alone has no use for it.
        """
        if self.listed is None:
            return self.given
        places, pad_id = self.listed
        batch, growing, vocabulary = self.given.shape
        found = self.given.new_full((batch, 2 * growing, vocabulary), -torch.inf)
        found[..., pad_id] = 0.0
        return found.scatter(1, places[..., None].expand_as(self.given), self.given)

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
                Hypothesis(_up_to(eos_id, tokens), total, score, finished)
                for tokens, total, score, finished in zip(*rows, strict=True)
                if total != -math.inf  # a slot not in use
            ]
            for rows in parts
        ]


def _up_to(eos_id: int, tokens: list[int]) -> tuple[int, ...]:
    """The tokens as far as the first <eos>, which is the last of them."""
    return tuple(tokens[: tokens.index(eos_id) + 1] if eos_id in tokens else tokens)


OVERFLOWING = "The model's numbers overflow: its weights are far too large to use."
DROPPED_FROM = 1 / 8
"""Done sentences are dropped once they are that share of a batch: each time costs a copy."""

Strategy = Callable[[Transformer, Tensor], Iterable[DecodingStep]]
"""Greedy, sampling or beam search with its options filled in, as :func:`decode` takes it."""


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


def ends_by_force(model: Transformer, max_length: int | None, force_end: bool | None) -> bool:
    """Whether the last token that fits is to be <eos>, as for :func:`greedy`."""
    return model.config.forces_end and max_length is None if force_end is None else force_end


def greedy(
    model: Transformer,
    source: Tensor,
    *,
    prefix: Sequence[int] = (),
    max_length: int | None = None,
    attention: bool = False,
    cached: bool = True,
    drop_done: bool = False,
    force_end: bool | None = None,
) -> Iterator[DecodingStep]:
    """Take the most probable token at each position, until every sentence has ended.

    Args:
        source: ids, padded, [batch, source].
        prefix: ids that the output must start with; their steps are yielded too, with the
            probabilities the model gave them.
        max_length: most tokens to generate; None goes up to the model's positions.
        attention: record what each new position attended to.
        cached: False recomputes everything at every step: the slow obvious way.
        drop_done: leave sentences that have ended out of the later steps, where they would
            only cost time. What a sentence came to is then in the last step that has it.
        force_end: write <eos> as the last of ``max_length`` tokens. None does so where the model
            asks for it and goes up to its own limit: what a page cuts has found no end.
    """

    def best(position: int, log_probs: Tensor) -> Tensor:
        return log_probs.argmax(dim=-1)

    return _one_road(
        model, source, best, prefix, max_length, attention, cached, drop_done, force_end
    )


def sample(
    model: Transformer,
    source: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    prefix: Sequence[int] = (),
    max_length: int | None = None,
    attention: bool = False,
    cached: bool = True,
) -> Iterator[DecodingStep]:
    """Draw each token by its probability, until every sentence has ended.

    The number drawn at a position depends on the seed and on where in the batch it stands,
    not on what was written before: with another prefix or temperature, the same luck meets
    other probabilities. The steps' log-probabilities are the model's own, before temperature,
    top-k and top-p.

    Args:
        temperature, top_k, top_p, seed: as :class:`SamplingConfig` says.
        source, prefix, max_length, attention, cached: as for :func:`greedy`.

    Raises:
        ConfigError: temperature, top-k, top-p or the seed has a value it cannot have.
    """
    sampling = SamplingConfig(temperature, top_k, top_p, seed)
    generator = torch.Generator().manual_seed(seed)
    # All at once, so that a position's number hangs on no other position.
    rolled = torch.rand(
        output_limit(model, max_length), source.size(0), generator=generator, dtype=torch.float64
    )

    def drawn(position: int, log_probs: Tensor) -> Tensor:
        return draw(next_token(log_probs, sampling), rolled[position].to(log_probs.device))

    return _one_road(model, source, drawn, prefix, max_length, attention, cached)


Choose = Callable[[int, Tensor], Tensor]
"""From the position and log-probabilities [batch, vocabulary] to the tokens written, [batch]."""


@torch.inference_mode()
def _one_road(
    model: Transformer,
    source: Tensor,
    choose: Choose,
    prefix: Sequence[int],
    max_length: int | None,
    attention: bool,
    cached: bool,
    drop_done: bool = False,
    force_end: bool | None = None,
) -> Iterator[DecodingStep]:
    """One hypothesis a sentence, which grows by what ``choose`` chooses."""
    config = model.config
    batch = source.size(0)
    limit, forced = output_limit(model, max_length), ends_by_force(model, max_length, force_end)
    steps = step_decoder(model, source, attention=attention, cached=cached)
    written = source.new_full((batch, 1), config.decoder_start_id)  # [batch, 1 + position]
    total = torch.zeros(batch, dtype=model.dtype, device=source.device)
    finished = torch.zeros(batch, dtype=torch.bool, device=source.device)
    parents = torch.zeros(batch, 1, dtype=torch.long, device=source.device)
    sentences = torch.arange(batch, device=source.device)
    ended = 0  # how many sentences have
    for position in range(limit):
        end = forced and position == limit - 1
        log_probs = normalised(steps.logits(written.unsqueeze(1)), config, end).squeeze(1)
        cross, own = steps.attention() if attention else (None, None)
        if position < len(prefix):
            chosen = written.new_full((len(written),), prefix[position])
        else:
            chosen = choose(position, log_probs)  # [batch]
        if ended:
            chosen = chosen.masked_fill(finished, config.pad_id)
        gained = log_probs.gather(1, chosen.unsqueeze(1)).squeeze(1)
        margin = None
        if drop_done:
            first, second = log_probs.topk(2).values.unbind(dim=1)
            margin = torch.where(finished | (position < len(prefix)), torch.inf, first - second)
        total = total + (gained.masked_fill(finished, 0.0) if ended else gained)
        finished = finished | (chosen == config.eos_id)
        written = torch.cat([written, chosen.unsqueeze(1)], dim=1)
        totals = total.unsqueeze(1)
        yield DecodingStep(
            position=position,
            given=log_probs.unsqueeze(1),
            parents=parents,
            tokens=written.narrow(1, 1, position + 1).unsqueeze(1),
            total=totals,
            scores=totals,
            finished=finished.unsqueeze(1),
            cross_attention=cross,
            decoder_attention=own,
            margin=margin,
            sentences=sentences,
        )
        ended = int(finished.sum())
        if ended == len(finished):
            return
        if drop_done and ended >= DROPPED_FROM * len(finished):
            going = ~finished
            steps.keep(going)
            written, total, finished = written[going], total[going], finished[going]
            parents, sentences = parents[going], sentences[going]
            ended = 0


@torch.inference_mode()
def beam_search(
    model: Transformer,
    source: Tensor,
    *,
    beam_size: int = 4,
    alpha: float = 0.6,
    penalty: str | None = None,
    max_length: int | None = None,
    attention: bool = False,
    cached: bool = True,
    drop_done: bool = False,
    force_end: bool | None = None,
) -> Iterator[DecodingStep]:
    """Keep the ``beam_size`` best hypotheses at each position (section 6.1: beam 4, α 0.6).

    A finished hypothesis stays in the beam with its score and competes with those that grow.
    A sentence is done when all its hypotheses are finished, or none that grows can still
    overtake the best finished one.

    Args:
        source: ids, padded, [batch, source].
        alpha: of :func:`length_penalty`; 0 ranks by log-probability alone.
        penalty: "paper" is the search described above; "length" is Hugging Face's, of
            :mod:`decoding.beam`; None is the model's own.
        max_length, attention, cached, drop_done, force_end: as for :func:`greedy`.
    """
    config = model.config
    if (penalty or config.length_penalty) == "length":
        from transformer.decoding.beam import pooled_search

        yield from pooled_search(
            model,
            source,
            beam_size=beam_size,
            alpha=alpha,
            max_length=max_length,
            attention=attention,
            cached=cached,
            drop_done=drop_done,
            force_end=force_end,
        )
        return
    forced = ends_by_force(model, max_length, force_end)
    batch, limit = source.size(0), output_limit(model, max_length)
    steps = step_decoder(model, source, beam_size=beam_size, attention=attention, cached=cached)
    device, dtype = source.device, model.dtype
    sentences = torch.arange(batch, device=device)
    written = source.new_full((batch, beam_size, 1), config.decoder_start_id)
    # All hypotheses start alike, so only the first may grow at the first step.
    total = torch.full((batch, beam_size), -torch.inf, dtype=dtype, device=device)
    total[:, 0] = 0.0
    lengths = torch.zeros(batch, beam_size, dtype=torch.long, device=device)
    finished = torch.zeros(batch, beam_size, dtype=torch.bool, device=device)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    penalties = torch.tensor([length_penalty(n, alpha) for n in range(limit + 1)], dtype=dtype)
    penalties = penalties.to(device)
    for position in range(limit):
        end = forced and position == limit - 1
        # [batch, beam, vocabulary]
        log_probs = normalised(steps.logits(written), config, end)
        cross, own = steps.attention() if attention else (None, None)
        # A finished hypothesis goes on as itself: one padding token at no cost.
        going_on = torch.full_like(log_probs, -torch.inf)
        going_on[..., config.pad_id] = 0.0
        extended = total[..., None] + torch.where(finished[..., None], going_on, log_probs)
        new_lengths = lengths + ~finished  # [batch, beam]
        ranked = extended / penalties[new_lengths][..., None]
        # One more than is kept: [batch, beam + 1], best first.
        ranked_scores, ranked_places = ranked.flatten(1).topk(beam_size + 1)
        scores, best = ranked_scores[:, :-1], ranked_places[:, :-1]  # [batch, beam]
        # Nothing hangs on the beam of a sentence that is done, or on slots not in use.
        idle = done | (ranked_scores[:, -1] == -torch.inf)
        margin = torch.where(idle, torch.inf, scores[:, -1] - ranked_scores[:, -1])
        parents, chosen = best // log_probs.size(-1), best % log_probs.size(-1)
        total = extended.flatten(1).gather(1, best)
        lengths = new_lengths.gather(1, parents)
        finished = finished.gather(1, parents) | (chosen == config.eos_id)
        written = torch.cat(
            [written.gather(1, parents[..., None].expand_as(written)), chosen[..., None]], dim=2
        )
        # Log-probabilities only fall, so the longest length gives a growing one its best score.
        hope = torch.where(finished, -torch.inf, total / penalties[limit]).amax(dim=1)
        ended = torch.where(finished, scores, -torch.inf).amax(dim=1)
        was_done, done = done, ended >= hope  # [batch]
        margin = torch.where(done & ~was_done, torch.minimum(margin, ended - hope), margin)
        steps.follow(parents)
        yield DecodingStep(
            position=position,
            given=log_probs,
            parents=parents,
            tokens=written[..., 1:],
            total=total,
            scores=scores,
            finished=finished,
            cross_attention=None if cross is None else chosen_of(cross, parents),
            decoder_attention=None if own is None else chosen_of(own, parents),
            margin=margin,
            sentences=sentences,
        )
        if done.all():
            return
        if drop_done and done.sum() >= DROPPED_FROM * len(done):
            going = ~done
            steps.keep(going)
            written, total, lengths = written[going], total[going], lengths[going]
            finished, done, sentences = finished[going], done[going], sentences[going]


def chosen_of(values: Tensor, which: Tensor) -> Tensor:
    """[batch, beam, ...] by places [batch, chosen] -> [batch, chosen, ...]."""
    return values[torch.arange(len(which), device=which.device)[:, None], which]


def normalised(logits: Tensor, config: TransformerConfig, end: bool = False) -> Tensor:
    """Log-probabilities of the next token, [..., vocabulary].

    Padding gets none where the config says so; with ``end``, <eos> gets all.

    Raises:
        CheckpointError: the weights are finite, but what comes of them is not.
    """
    log_probs = torch.log_softmax(logits, dim=-1)
    # One that is not a number makes all of its row so, and any sum with it.
    if math.isnan(log_probs.select(-1, 0).sum()):
        raise CheckpointError(OVERFLOWING)
    if config.pad_in_output != "allowed":
        log_probs[..., config.pad_id] = -torch.inf
        if config.pad_in_output == "renormalised":
            log_probs = torch.log_softmax(log_probs, dim=-1)
    if end:
        log_probs = torch.full_like(log_probs, -torch.inf)
        log_probs[..., config.eos_id] = 0.0
    return log_probs


def decode(model: Transformer, source: Tensor, strategy: Strategy = greedy) -> list[Hypothesis]:
    """The best output of each sentence of a padded batch: [batch, source] ids -> hypotheses."""
    best: DecodingStep | None = None
    for step in strategy(model, source):
        best = step
    assert best is not None  # every strategy yields at least one step
    found = best.hypotheses(model.config.eos_id, range(source.size(0)))
    return [max(beam, key=lambda one: (one.finished, one.score)) for beam in found]


def pad(rows: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """Ragged lists of ids as one tensor: [batch, longest]."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows])

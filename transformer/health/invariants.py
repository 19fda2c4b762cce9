"""What must hold for every encoder-decoder Transformer, trained or not.

These checks need no class of this library: a model is any callable that takes ids of
sources [batch, source] and of decoder inputs [batch, target] and returns logits
[batch, target, vocabulary]. Switch its dropout off first.

Each finding names the cause in the words that a user would search for.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from transformer.health.finding import Finding, percent

Model = Callable[[Tensor, Tensor], Tensor]

TOLERANCE = 1e-3
"""Largest difference of logits, as a share of their spread, that rounding may cause in float32."""
SUM_TOLERANCE = 1e-3
NOT_FINITE = "Finite numbers"
EXTRA = 3
"""Number of padding tokens appended to test whether they change the logits."""
AXES = ("the sentences of a batch", "the heads", "the queries (columns)", "the keys (rows)")


def check_targets(
    target_in: Tensor, target_out: Tensor, pad_id: int, eos_id: int | None = None
) -> Finding:
    """Is the decoder's input the target shifted right by one? (Section 3.1, figure 1.)

    Args:
        target_in: ids that the decoder reads, [batch, target].
        target_out: ids that it must predict at the same positions, [batch, target].
        eos_id: the end token, where every target must have one.
    """
    name = "Targets shifted right"
    real = target_out != pad_id
    length = min(target_in.size(1), target_out.size(1))
    same = (target_in[:, :length] == target_out[:, :length])[real[:, :length]]
    shifted = (target_in[:, 1:length] == target_out[:, : length - 1])[real[:, 1:length]]
    if same.all():
        return Finding(
            name,
            "problem",
            "The decoder can see the token it has to predict: the targets are not shifted right. "
            f"At all {len(same):,} positions of a batch its input is the token it has to predict.",
            "Feed it <bos> and the target; it must predict the target and <eos>.",
        )
    if not shifted.all():
        right = shifted.float().mean().item()
        return Finding(
            name,
            "problem",
            "The decoder's input is not the target shifted right by one: that holds at only "
            f"{percent(right)} of {len(shifted):,} positions.",
            "Position t of the input must be the target of position t - 1.",
        )
    if eos_id is not None and not (target_out == eos_id).any(dim=1).all():
        without = int((~(target_out == eos_id).any(dim=1)).sum())
        return Finding(
            name,
            "problem",
            f"<eos> is not among the targets: {without} of {len(target_out)} rows of a batch do "
            "not have it, so the model never learns where to stop.",
            "End every target with <eos>, and let the loss count it.",
        )
    return Finding(
        name,
        "ok",
        f"At all {len(shifted):,} positions of a batch the decoder reads the token before the one "
        "it must predict.",
    )


def check_attention(
    weights: Mapping[str, Tensor], allowed: Mapping[str, Tensor] | None = None
) -> list[Finding]:
    """Do each query's weights sum to 1 over the keys, with nothing on a masked key?

    Args:
        weights: attention weights by the name of the attention, [batch, head, query, key] each.
        allowed: by the same names, True where attention is allowed, broadcastable to the weights.
    """
    softmax = _check_softmax(weights)
    return [softmax, _check_masked(weights, allowed or {}, softmax)]


def _check_softmax(weights: Mapping[str, Tensor]) -> Finding:
    name = "Softmax over the keys"
    for place, w in weights.items():
        sums = w.sum(dim=-1)
        if _all_one(sums):
            continue
        rows = f"from {sums.min().item():.2f} to {sums.max().item():.2f}"
        axis = next((axis for axis in range(3) if _all_one(w.sum(dim=axis))), None)
        if axis is None:
            return Finding(
                name,
                "problem",
                f"The attention weights are not a softmax: in {place} one query's weights sum to "
                f"values {rows}, not to 1.",
                "Take the softmax of the masked scores over the keys. Only dropout may follow "
                "it, and dropout must be off now.",
            )
        return Finding(
            name,
            "problem",
            f"Softmax over the wrong axis: in {place} the rows, one query's weights over the "
            f"keys, sum to values {rows}; over {AXES[axis]} the sums are 1.",
            "Take the softmax over the last axis of [batch, head, query, key]: dim=-1.",
        )
    count = sum(w[..., 0].numel() for w in weights.values())
    return Finding(name, "ok", f"All {count:,} rows of attention weights sum to 1.")


def _all_one(sums: Tensor) -> bool:
    return bool(((sums - 1).abs() < SUM_TOLERANCE).all())


def _check_masked(
    weights: Mapping[str, Tensor], allowed: Mapping[str, Tensor], softmax: Finding
) -> Finding:
    name = "No weight on masked keys"
    masked_count = 0
    for place, mask in allowed.items():
        shape = tuple(weights[place].shape)
        sizes = zip(mask.shape[::-1], shape[::-1], strict=False)
        if any(size not in (1, whole) for size, whole in sizes):
            return Finding(
                name,
                "problem",
                f"The weights have the wrong shape: in {place} they are {list(shape)}, but the "
                f"mask of sentences, heads, queries and keys is {list(mask.shape)}.",
                "Look for batch and positions that are swapped: nn.MultiheadAttention takes "
                "[position, batch, d_model] unless batch_first=True.",
            )
        hidden = ~mask.expand_as(weights[place])
        # Not for a query that may look nowhere: its weights must still sum to 1.
        hidden = hidden & mask.any(dim=-1, keepdim=True)
        masked_count += int(hidden.sum())
        most = (weights[place] * hidden).max().item()
        if not most < SUM_TOLERANCE:
            if softmax.alarm:
                return Finding(
                    name, "warning", f"Up to {most:.2f} in {place}; {FROM_SOFTMAX}", MEND_FIRST
                )
            return Finding(
                name,
                "problem",
                f"A mask is missing: in {place} keys that must not be seen get up to {most:.2f} "
                "of a query's weight.",
                "Fill the scores of masked keys with the lowest number before the softmax.",
            )
    return Finding(name, "ok", f"All {masked_count:,} weights on masked keys are 0.")


FROM_SOFTMAX = "the wrong softmax can be the cause."
ONE_CAUSE = (
    "If the masks are there, one cause explains this and the other alarm: heads split or merged "
    "without a transpose, or a norm over the positions."
)
MEND_FIRST = "Correct the softmax first, then check again."
MASKS_HOLD = (
    f"though no mask is missing: masked keys get less than {SUM_TOLERANCE:g} of a query's weight. "
)
NOT_THE_MASK = (
    "Look for heads split or merged without a transpose, a norm over the positions, batch and "
    "positions swapped, or masked scores that are not low enough."
)


@torch.no_grad()
def check_model(
    model: Model,
    source: Tensor,
    target_in: Tensor,
    pad_id: int,
    *,
    room: int | None = None,
    softmax: Finding | None = None,
    masked: Finding | None = None,
) -> list[Finding]:
    """What must not change the logits, and what must.

    Args:
        source, target_in: one padded batch of real sentences of different lengths, [batch,
            source] and [batch, target]; at least two sentences, four or more are better.
        room: the largest number of positions of the model, if it has a limit.
        softmax: the first finding of :func:`check_attention`, if the weights are known: a wrong
            softmax also lets the future and padding through, which are then not named as causes.
        masked: its second finding, if it was given ``allowed``: if there is no weight on masked
            keys, no mask is missing, whatever gets through.

    Raises:
        ValueError: the batch has less than two sentences.
    """
    if len(source) < 2:
        raise ValueError("check_model needs a batch of at least two sentences")
    real = target_in != pad_id
    logits = model(source, target_in)
    if not torch.isfinite(logits[real]).all():
        return [
            Finding(
                NOT_FINITE,
                "problem",
                "The logits are not finite numbers: a weight overflowed, or a row of scores was "
                "masked entirely with -inf.",
                "Lower the learning rate; fill masks with the lowest finite number, not with -inf.",
            )
        ]
    again = _moved(logits, model(source, target_in), real).max().item()
    if again > TOLERANCE:
        return [
            Finding(
                "Two calls agree",
                "problem",
                "The model gives other logits each time: the same batch again moved them by "
                f"{percent(again)} of their spread. Dropout is on.",
                "Call model.eval() before evaluating and decoding; F.dropout needs "
                "training=self.training.",
            )
        ]
    blamed = softmax is not None and softmax.alarm
    masks_hold = masked is not None and not masked.alarm
    found = [
        _check_future(model, source, target_in, logits, real, masks_hold),
        _check_padding(model, source, target_in, logits, real, pad_id, room, masks_hold),
        _check_batch(model, source, target_in, logits, real),
        _check_source(model, source, target_in, logits, real, pad_id),
    ]
    if found[0].alarm and found[1].alarm and not blamed and not masks_hold:
        found[:2] = [replace(one, advice=f"{one.advice} {ONE_CAUSE}") for one in found[:2]]
    if not blamed:
        return found
    return [
        Finding(f.name, "warning", f"This does not hold; {FROM_SOFTMAX}", MEND_FIRST)
        if f.alarm
        else f
        for f in found
    ]


def _moved(before: Tensor, after: Tensor, where: Tensor) -> Tensor:
    """Largest change of a logit at each position, as a share of the logits' spread.

    [batch, target, vocabulary] twice and [batch, target] -> [batch, target], 0 outside ``where``.
    """
    spread = before[where].std().clamp(min=1e-6)
    change = (before - after).abs().amax(dim=-1) / spread
    return torch.where(where, torch.nan_to_num(change, nan=torch.inf), 0.0)


def _check_future(
    model: Model,
    source: Tensor,
    target_in: Tensor,
    logits: Tensor,
    real: Tensor,
    masks_hold: bool,
) -> Finding:
    name = "No look into the future"
    tokens = target_in[real].unique()
    length = target_in.size(1)
    positions = sorted({p for p in (1, length // 2, length - 1) if 0 < p < length})
    worst, reach, tried, to_the_start = 0.0, 0, 0, False
    for position in positions:
        changed = target_in.clone()
        place = torch.searchsorted(tokens, changed[:, position].contiguous())
        changed[:, position] = tokens[(place + 1) % len(tokens)]
        moved = _moved(logits, model(source, changed), real)[:, :position]  # [batch, position]
        tried += int(real[:, :position].sum())
        leaks = (moved > TOLERANCE).any(dim=0).nonzero()[:, 0].tolist()
        if leaks:
            worst = max(worst, moved.max().item())
            reach, to_the_start = max(reach, position - leaks[0]), leaks[0] == 0
    if not reach:
        return Finding(
            name, "ok", f"A changed target token moved none of the {tried:,} logits before it."
        )
    seen = (
        f"A changed target token moved logits up to {reach} positions before it, by "
        f"{percent(worst)} of their spread."
    )
    if masks_hold:
        return Finding(
            name,
            "problem",
            f"The decoder can see the tokens it has to predict, {MASKS_HOLD}{seen}",
            NOT_THE_MASK,
        )
    # With a mask off by one, each layer looks one position further: as many as there are layers.
    if not to_the_start:
        return Finding(
            name,
            "problem",
            "The causal mask is off by one: the decoder can see the token it has to predict. A "
            f"changed target token moved the logits of the {reach} positions before it, by "
            f"{percent(worst)} of their spread, and of none before those.",
            "A position may attend to itself and earlier positions: keep the lower triangle with "
            "its diagonal, and no more.",
        )
    return Finding(
        name,
        "problem",
        f"The causal mask is missing: the decoder can see the tokens it has to predict. {seen}",
        "Mask the decoder's self-attention: a position may attend to itself and earlier ones.",
    )


def _check_padding(
    model: Model,
    source: Tensor,
    target_in: Tensor,
    logits: Tensor,
    real: Tensor,
    pad_id: int,
    room: int | None,
    masks_hold: bool,
) -> Finding:
    name = "Padding changes nothing"
    free = EXTRA if room is None else room - max(source.size(1), target_in.size(1))
    extra = min(EXTRA, free)
    if extra < 1:
        return Finding(
            name, "ok", "The model has no free position for padding, so padding cannot matter."
        )
    filler = source.new_full((len(source), extra), pad_id)
    more_source, more_target = torch.cat([source, filler], 1), torch.cat([target_in, filler], 1)
    trials = {
        "source": model(more_source, target_in),
        "target": model(source, more_target)[:, : target_in.size(1)],
    }
    for side, after in trials.items():
        worst = _moved(logits, after, real).max().item()
        if worst > TOLERANCE:
            seen = (
                f"{extra} <pad> tokens after the {side} moved the logits by {percent(worst)} of "
                "their spread."
            )
            if masks_hold:
                return Finding(
                    name,
                    "problem",
                    f"<pad> tokens are not ignored, {MASKS_HOLD}{seen}",
                    NOT_THE_MASK,
                )
            return Finding(
                name,
                "problem",
                f"The padding mask of the {side} is missing: {seen}",
                "Mask keys that are <pad>, in the encoder and in cross-attention."
                if side == "source"
                else "Put target padding after the real tokens, where the causal mask hides it.",
            )
    return Finding(name, "ok", f"{extra} <pad> tokens after source or target moved no logit.")


def _check_batch(
    model: Model, source: Tensor, target_in: Tensor, logits: Tensor, real: Tensor
) -> Finding:
    name = "Sentences do not mix"
    flipped = model(source.flip(0), target_in.flip(0)).flip(0)
    alone = model(source[:1], target_in[:1])
    worst = max(
        _moved(logits, flipped, real).max().item(),
        _moved(logits[:1], alone, real[:1]).max().item(),
    )
    if worst > TOLERANCE:
        return Finding(
            name,
            "problem",
            "The sentences of a batch influence each other: in another order, or alone, a "
            f"sentence gets logits that differ by {percent(worst)} of their spread.",
            "Look for a reshape that mixes batch and positions, statistics over the batch, or "
            "dropout that is still on.",
        )
    return Finding(
        name, "ok", "A sentence gets the same logits alone, and in any order of the batch."
    )


def _check_source(
    model: Model, source: Tensor, target_in: Tensor, logits: Tensor, real: Tensor, pad_id: int
) -> Finding:
    name = "The source is read"
    if torch.equal(source, source.roll(1, dims=0)):
        return Finding(name, "waiting", "All sources are the same, so this cannot be checked.")
    other = _moved(logits, model(source.roll(1, dims=0), target_in), real).max().item()
    if not other > TOLERANCE:
        return Finding(
            name,
            "problem",
            "The decoder does not read the source: with another sentence's source the logits "
            "stay the same.",
            "Keys and values of cross-attention must come from the encoder's output.",
        )
    lengths = (source != pad_id).sum(dim=1)
    turned = source.clone()
    for row, length in enumerate(lengths.tolist()):
        turned[row, :length] = source[row, :length].flip(0)
    order = _moved(logits, model(turned, target_in), real).max().item()
    if not torch.equal(turned, source) and not order > TOLERANCE:
        return Finding(
            name,
            "problem",
            "The encoder does not know positions: with the source read backwards the logits "
            "stay the same.",
            "Add the positional encoding to the source embeddings.",
        )
    return Finding(name, "ok", "Another source, or the same in another order, moves the logits.")

"""Checks of how any implementation learns and writes: its decoding, its gradients."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from transformer.analysis.first_error import common_prefix_length
from transformer.health.finding import Finding, percent


def check_generation(
    logits: Tensor,
    target_out: Tensor,
    written: Sequence[Sequence[int]],
    pad_id: int,
    *,
    leaks: bool = True,
) -> Finding:
    """Does the model write what it predicts when it is given the true tokens?

    Up to its first wrong token, a model that writes by itself reads the same as one that is
    given the true tokens (teacher forcing), so both must go wrong at the same position. If teacher
    forcing stays right for longer, it saw what it should not.

    Args:
        logits: of the decoder's true inputs, [batch, target, vocabulary].
        target_out: ids to be predicted, <eos> included, [batch, target].
        written: for each sentence the ids your own greedy decoding wrote, <eos> included.
        leaks: whether the decoder may see what it has to predict; False if other checks have found
            that it does not, so that the decoding must be wrong.
    """
    name = "Teacher forcing against free running"
    forced = logits.argmax(dim=-1)
    first_wrong = []
    right = {"forced": 0, "free": 0}
    total = 0
    for row, target in enumerate(target_out.tolist()):
        wanted = [token for token in target if token != pad_id]
        given = forced[row, : len(wanted)].tolist()
        free = list(written[row][: len(wanted)])
        forced_wrong, free_wrong = (common_prefix_length(one, wanted) for one in (given, free))
        first_wrong.append((forced_wrong, free_wrong, len(wanted)))
        total += len(wanted)
        right["forced"] += sum(a == b for a, b in zip(given, wanted, strict=True))
        right["free"] += sum(a == b for a, b in zip(free, wanted, strict=False))
    count = len(first_wrong)
    further = sum(a > b for a, b, _ in first_wrong)
    shorter = sum(a < b for a, b, _ in first_wrong)
    whole = sum(b == length for _, b, length in first_wrong)
    shares = (
        f"given the true tokens it predicts {percent(right['forced'] / total)} of them; writing by "
        f"itself it gets {percent(right['free'] / total)} right, and {whole} of {count} answers "
        "completely right"
    )
    # In a batch of another shape, rounding may change the order of two almost equal logits.
    if further > max(1, count // 16) and not leaks:
        return Finding(
            name,
            "problem",
            f"Decoding feeds the model something else than training did: {shares}. In {further} of "
            f"{count} answers teacher forcing stays right beyond the first token that the model "
            "gets wrong by itself, although it sees nothing that it must not see.",
            "Compare the start token, the positions of later tokens (an offset with a cache), and "
            "whether dropout is off.",
        )
    if further > max(1, count // 16):
        return Finding(
            name,
            "problem",
            f"Teacher forcing sees what it has to predict: {shares}. In {further} of {count} "
            "answers it stays right beyond the first token that the model gets wrong by itself.",
            "Look for targets that are not shifted right, or a causal mask that is missing; else "
            "the decoding (its cache, its start token) differs from the training.",
        )
    if shorter > max(1, count // 16):
        return Finding(
            name,
            "problem",
            f"Decoding differs from the model: {shares}. {shorter} of {count} answers stay "
            "right where the model itself, given the same tokens, predicts a wrong one.",
            "Compare decoding with and without its cache.",
        )
    gap = (right["forced"] - right["free"]) / total
    spoiled = (
        " One wrong token spoils those after it (exposure bias); more training helps."
        if gap > 0.25
        else ""
    )
    return Finding(
        name,
        "ok",
        f"Both go wrong at the same token: {shares}.{spoiled}",
    )


def check_gradients(module: torch.nn.Module, loss: Tensor) -> Finding:
    """Does a finite gradient of the loss reach every parameter? Leaves no gradient behind."""
    name = "Gradients"
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    norms = {
        n: None if g is None else g.norm().item() for n, g in zip(named, gradients, strict=True)
    }
    bad = [n for n, norm in norms.items() if norm is not None and not norm < torch.inf]
    if bad:
        return Finding(
            name,
            "problem",
            f"The gradient of {bad[0]} is not a finite number ({len(bad)} of {len(named)} "
            "parameters).",
            "Lower the learning rate, and clip the gradient.",
        )
    unreached = [n for n, norm in norms.items() if norm is None]
    if unreached:
        return Finding(
            name,
            "problem",
            f"No gradient reaches {unreached[0]} ({len(unreached)} of {len(named)} parameters): "
            "the loss does not depend on them.",
            "Look for a part that is built but never called, a detach() or a no_grad().",
        )
    total = sum(norm**2 for norm in norms.values() if norm is not None) ** 0.5
    return Finding(
        name, "ok", f"All {len(named)} parameters get a finite gradient (norm {total:.2g})."
    )


def check_moved(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Finding:
    """Has the optimizer moved every parameter?

    Args:
        before, after: the parameters by name, before the first update and after some.
    """
    name = "Every parameter is trained"
    same = [one for one in before if torch.equal(before[one], after[one])]
    if same:
        share = f"{len(same)} of {len(before)} parameters"
        return Finding(
            name,
            "problem",
            f"The optimizer never moved {same[0]} ({share}): they have their initial values.",
            "Give the optimizer model.parameters(), after all parts are built; look for "
            "requires_grad=False, detach() and no_grad().",
        )
    return Finding(name, "ok", f"All {len(before)} parameters have changed since the start.")


def check_loss(loss: Callable[[Tensor, Tensor], Tensor], size: int, pad_id: int) -> Finding:
    """Is a loss the cross-entropy of its logits, over real tokens only? Tested on fixed logits.

    Args:
        loss: logits [batch, target, vocabulary] and ids [batch, target] -> nats per token.
        size: of the vocabulary.
    """
    name = "The loss on fixed logits"
    tokens = [token for token in range(size) if token != pad_id]
    asked = torch.tensor([[tokens[0], tokens[1], tokens[-1]], [tokens[1], tokens[0], pad_id]])
    right = torch.nn.functional.one_hot(asked, size).float()
    sure, surer = (loss(margin * right, asked).item() for margin in (20.0, 40.0))
    floor = twice_softmaxed(size)
    if abs(sure - floor) < 0.02 and abs(surer - floor) < 0.02:
        return Finding(
            name,
            "problem",
            f"The softmax is taken twice: confident right logits cost {sure:.3f} nats, which is "
            f"ln(1 + (|V| - 1)/e) for {size:,} tokens, not 0.",
            "Give cross-entropy the logits; it takes the softmax itself.",
        )
    other = right.clone()
    other[asked == pad_id] = right[asked == pad_id].roll(1, dims=-1)  # wrong only at padding
    moved = abs(loss(20.0 * other, asked).item() - sure)
    if moved > 1e-3:
        return Finding(
            name,
            "problem",
            f"The loss counts <pad>: other logits at a padded position changed it by {moved:.3g}.",
            "Pass ignore_index=pad_id, and divide by the number of real tokens.",
        )
    return Finding(
        name,
        "ok",
        f"Confident right logits cost {sure:.2g} nats, and logits at <pad> change nothing.",
    )


def twice_softmaxed(size: int) -> float:
    """ln(1 + (|V| - 1)/e): the minimum of cross-entropy that is given probabilities, not logits."""
    return math.log1p((size - 1) / math.e)


def check_zeroed(first: float, second: float) -> Finding:
    """Does each gradient start from zero?

    Args:
        first, second: norms of the gradient of the same batch, computed twice without an update
            in between.
    """
    name = "Gradients start from zero"
    if abs(second - first) > 0.01 * first:
        return Finding(
            name,
            "problem",
            "The gradients are never set to zero: computed again, the gradient of the same batch "
            f"is {second / max(first, 1e-12):.1f} times as long.",
            "Call optimizer.zero_grad() before each backward pass.",
        )
    return Finding(name, "ok", "Computed again, a batch's gradient is the same.")

"""Checks of how any implementation learns and writes: its decoding, its gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transformer.health.finding import Finding, percent


def check_generation(
    logits: Tensor, target_out: Tensor, written: Sequence[Sequence[int]], pad_id: int
) -> Finding:
    """Does the model write what it predicts when it is given the true tokens?

    Up to its first wrong token a model that writes by itself reads the same as one that is
    given the true tokens (teacher forcing), so both must go wrong at the same position. Where
    teacher forcing goes further, it saw what it should not.

    Args:
        logits: of the decoder's true inputs, [batch, target, vocabulary].
        target_out: ids to be predicted, <eos> included, [batch, target].
        written: for each sentence the ids your own greedy decoding wrote, <eos> included.
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
        first_wrong.append((_prefix(given, wanted), _prefix(free, wanted), len(wanted)))
        total += len(wanted)
        right["forced"] += sum(a == b for a, b in zip(given, wanted, strict=True))
        right["free"] += sum(a == b for a, b in zip(free, wanted, strict=False))
    count = len(first_wrong)
    further = sum(a > b for a, b, _ in first_wrong)
    shorter = sum(a < b for a, b, _ in first_wrong)
    whole = sum(b == length for _, b, length in first_wrong)
    shares = (
        f"given the true tokens it predicts {percent(right['forced'] / total)} of them; writing by "
        f"itself it has {percent(right['free'] / total)} right, and {whole} of {count} answers "
        "whole"
    )
    # Two almost equal logits may come out the other way round in a batch of another shape.
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
            f"Decoding differs from the model: {shares}. {shorter} of {count} answers go on "
            "right where the model itself, given the same tokens, predicts another.",
            "Compare decoding with and without its cache.",
        )
    gap = (right["forced"] - right["free"]) / total
    spoiled = (
        " One wrong token spoils those after it (exposure bias), which more training mends."
        if gap > 0.25
        else ""
    )
    return Finding(
        name,
        "ok",
        f"Both go wrong at the same token: {shares}.{spoiled}",
    )


def _prefix(tokens: Sequence[int], wanted: Sequence[int]) -> int:
    """How many tokens are right before the first wrong one."""
    for place, (token, want) in enumerate(zip(tokens, wanted, strict=False)):
        if token != want:
            return place
    return min(len(tokens), len(wanted))


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
            "they take no part in the loss.",
            "Look for a part that is built and not called, a detach() or a no_grad().",
        )
    total = sum(norm**2 for norm in norms.values() if norm is not None) ** 0.5
    return Finding(
        name, "ok", f"All {len(named)} parameters get a finite gradient (norm {total:.2g})."
    )

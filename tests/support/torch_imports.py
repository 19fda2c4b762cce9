"""Shared by the tests that import nn.Transformer: models, their import, and the difference."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from tests.support.tutorials import TUTORIALS, Shape, randomised
from transformer.interop.foreign_vocabulary import numbered
from transformer.interop.nn_transformer.convert import Converted, converted, survey

Tensors = dict[str, Tensor]


def build(name: str, shape: Shape, seed: int = 0) -> Any:
    """A tutorial's module of this shape, with random weights."""
    torch.manual_seed(seed)
    if name == "shared":
        shape = dataclasses.replace(shape, source_vocabulary=shape.target_vocabulary)
    return randomised(TUTORIALS[name](shape))


def good() -> tuple[Any, Tensors]:
    """A module that can be imported, and its state dict."""
    module = build("translation", Shape())
    return module, dict(module.state_dict())


def imported(module: Any, shape: Shape, tensors: Tensors, **changes: Any) -> Converted:
    """The imported model, with the survey's guesses except for what only the user can know."""
    found = survey(tensors)
    choices = dataclasses.replace(
        found.guesses,
        **{
            "num_heads": shape.num_heads,
            "norm_first": shape.norm_first,
            "activation": shape.activation,
            "layer_norm_eps": shape.layer_norm_eps,
            "scale_embeddings": module.scaled,
        }
        | changes,
    )
    sizes = found.sizes(choices.roles)
    vocabularies = (
        numbered(sizes.source_vocab_size, module.special),
        numbered(sizes.target_vocab_size, module.special),
    )
    return converted(tensors, choices, vocabularies)


def difference(module: Any, made: Converted, seed: int = 1) -> float:
    """The largest difference of logits, on a batch with padding, for the same target tokens."""
    torch.manual_seed(seed)
    pad = module.special.pad
    sizes = [max(rows.rows) + 1 for rows in (made.source, made.target)]
    source = torch.randint(0, sizes[0], (3, 9))
    source[source == pad] = module.special.eos
    source[1, 5:], source[2, 2:] = pad, pad
    target = torch.randint(0, sizes[1], (3, 7))
    target[target == pad] = module.special.bos  # padding after the end hides nothing from itself
    ours = [
        torch.tensor([[rows.ids[int(number)] for number in row] for row in ids])
        for rows, ids in ((made.source, source), (made.target, target))
    ]
    with torch.no_grad():
        theirs = module.logits(source, target)
        here = made.model()(*ours)
    kept = [
        number
        for number, row in enumerate(made.target.rows)
        if number not in made.target.never_written
    ]
    assert len(kept) == theirs.size(-1)
    assert theirs.std() > 0.1  # else the comparison would be meaningless
    return float((here[..., kept] - theirs[..., [made.target.rows[i] for i in kept]]).abs().max())

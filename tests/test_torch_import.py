"""State dicts of nn.Transformer: imported with equal logits, or refused in one sentence."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tutorials import (
    TUTORIALS,
    Shape,
    lightning_file,
    randomised,
)
from transformer.interop.foreign_vocabulary import (
    numbered,
)
from transformer.interop.torch_transformer import Converted, converted, survey

Tensors = dict[str, Tensor]

SHAPES = [
    Shape(
        source_vocabulary=9 + 3 * i,
        target_vocabulary=9 + 2 * i,
        num_heads=(1, 2, 3, 4)[i % 4],
        d_model=(1, 2, 3, 4)[i % 4] * (8, 6, 2, 16, 10)[i % 5],
        encoder_layers=1 + i % 3,
        decoder_layers=1 + (i + i // 3) % 4,
        d_ff=(7, 16, 50, 33)[i % 4],
        norm_first=i % 2 == 0,
        activation=("relu", "gelu")[i // 2 % 2],
        batch_first=i // 4 % 2 == 0,
        bias=i % 7 != 3,
        layer_norm_eps=(1e-5, 1e-6, 1e-3)[i % 3],
    )
    for i in range(20)
]


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def precision(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    torch.set_default_dtype(request.param)  # positions, too, are born in it
    yield request.param
    torch.set_default_dtype(torch.float32)


def build(name: str, shape: Shape, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    if name == "shared":
        shape = dataclasses.replace(shape, source_vocabulary=shape.target_vocabulary)
    return randomised(TUTORIALS[name](shape))


def saved(name: str, module: nn.Module, folder: Path) -> Tensors:
    """The state dict as it comes back from the file a tutorial saves."""
    path = folder / "model.pt"
    torch.save(lightning_file(module) if name == "lightning" else module.state_dict(), path)
    loaded = torch.load(path, weights_only=True)
    return loaded["state_dict"] if name == "lightning" else loaded


def imported(module: Any, shape: Shape, tensors: Tensors, **changes: Any) -> Converted:
    """With the survey's own guesses, but for what only the person can know."""
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
    """The largest of a batch of sentences with padding, in their logits' own order."""
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
        number for number, row in enumerate(made.target.rows) if number not in made.target.silent
    ]
    assert len(kept) == theirs.size(-1)
    assert theirs.std() > 0.1  # else there would be nothing to compare
    return float((here[..., kept] - theirs[..., [made.target.rows[i] for i in kept]]).abs().max())


# --- Equal logits ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", TUTORIALS)
@pytest.mark.parametrize("number", range(20))
def test_logits_are_equal(name: str, number: int, precision: torch.dtype, tmp_path: Path) -> None:
    shape = SHAPES[number]
    module = build(name, shape, seed=number)
    tensors = saved(name, module, tmp_path)
    assert next(iter(tensors.values())).dtype == precision
    made = imported(module, shape, tensors)
    assert difference(module, made) < (1e-5 if precision == torch.float32 else 1e-10)

"""Finds the settings that a state dict's shapes do not show, by comparing logits.

The user saves a batch of ids with the logits of their own model (``SNIPPET``). All combinations of
settings are tried until our model gives the same logits.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transformer.checkpoint import Checkpoint
from transformer.checkpoint.checkpoint import assemble
from transformer.errors import CheckpointError
from transformer.interop.files.state_dicts import read_state_dict
from transformer.interop.foreign_vocabulary import Sides
from transformer.interop.nn_transformer.convert import Converted, converted
from transformer.interop.nn_transformer.questions import TABLE, options_of
from transformer.interop.nn_transformer.survey import Choices
from transformer.model import Transformer

SNIPPET = """\
source, target = next(iter(loader))        # a batch of ids, as your model takes it
logits = model.eval()(source, target)      # with the masks that you give it
torch.save({"source": source.double(), "target": target.double(), "logits": logits.detach().double()}, "pairs.pt")
"""  # noqa: E501
EQUAL = 1e-4
"""Largest accepted difference of a logit over the logits' spread: theirs have 32 bits."""
MOST_IDS, MOST_LOGITS = 100_000, 100_000_000
TRIAL_SENTENCES = 4
"""Sentences on which each combination is tried; a match is then checked on all."""


@dataclass(frozen=True)
class Pairs:
    """source, target: ids [batch, position]. logits: [batch, target, vocabulary], in 64 bits."""

    source: Tensor
    target: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Proven:
    """The choices found, the model with them, and the largest difference of its logits."""

    choices: Choices
    made: Converted
    largest_difference: float
    sentences: int

    @property
    def note(self) -> str:
        return (
            f"Compared with its own logits on {self.sentences} sentences: the largest difference "
            f"is {self.largest_difference:.0e} of their spread."
        )


def read_pairs(path: Path) -> Pairs:
    """Read the file that ``SNIPPET`` saves.

    Raises:
        CheckpointError: the file is no such file, or its sizes contradict each other.
    """
    found = read_state_dict(path, as_stored=True)
    if not {"source", "target", "logits"} <= found.keys():
        raise CheckpointError(
            "The pairs must be a file with source, target and logits, as the three lines save it; "
            "ids as whole numbers are left out, so save source.double()."
        )
    source, target, logits = (found[name].double() for name in ("source", "target", "logits"))
    if source.dim() != 2 or target.dim() != 2 or source.numel() > MOST_IDS:
        raise CheckpointError("The pairs' source and target must be ids of shape [batch, length].")
    if not 0 < target.numel() <= MOST_IDS or not 0 < logits.numel() <= MOST_LOGITS:
        raise CheckpointError("The pairs are too many; one batch of a few sentences is enough.")
    for ids in (source, target):
        if not bool(((ids >= 0) & (ids == ids.round()) & (ids < 2**31)).all()):
            raise CheckpointError("The pairs' source and target must hold ids from 0 on.")
    if logits.dim() < 2 or logits[..., 0].numel() != target.numel():
        raise CheckpointError(
            f"The pairs' logits have shape {list(logits.shape)}; expected [batch, target, "
            f"vocabulary] for a target of shape {list(target.shape)}."
        )
    if not bool(torch.isfinite(logits).all()):
        raise CheckpointError("The pairs' logits hold NaN or infinity.")
    logits = logits.reshape(*target.shape, logits.shape[-1])
    if source.shape[0] != target.shape[0]:  # [position, batch] instead of [batch, position]
        if source.shape[1] != target.shape[1]:
            raise CheckpointError("The pairs' source and target are not of the same sentences.")
        source, target, logits = source.T, target.T, logits.transpose(0, 1)
    return Pairs(source.long(), target.long(), logits)


def proven(
    tensors: Mapping[str, Tensor], guesses: Choices, vocabularies: Sides, pairs: Pairs
) -> Proven:
    """Find the choices with which our model gives the logits of the pairs; guesses come first.

    Raises:
        CheckpointError: there are none, or the pairs have ids that the vocabularies lack.
        VocabularyError, ConfigError: as :func:`convert`.
    """
    nearest = float("inf")
    few = Pairs(*(part[:TRIAL_SENTENCES] for part in (pairs.source, pairs.target, pairs.logits)))
    for positions in _first(guesses.positions, options_of("positions")):
        try:
            made = converted(tensors, replace(guesses, positions=positions), vocabularies)
        except CheckpointError:
            if positions == guesses.positions or positions != TABLE:
                raise
            continue  # the file has no table of positions
        kept = {name: tensor.double() for name, tensor in made.tensors.items()}
        for choices in _combinations(replace(guesses, positions=positions), made):
            config = replace(
                made.config,
                num_heads=choices.num_heads,
                norm_first=choices.norm_first,
                activation=choices.activation,
                scale_embeddings=choices.scale_embeddings,
            )
            model = assemble(config, kept).double()
            difference = _largest_difference(model, made, few)
            nearest = min(nearest, difference)
            if difference >= EQUAL:
                continue
            difference = _largest_difference(model, made, pairs)
            if difference < EQUAL:
                return Proven(choices, replace(made, config=config), difference, len(pairs.source))
    raise CheckpointError(
        "With no number of heads, order of norms, activation, scaling and positions does it give "
        f"the logits of the pairs; the nearest is {nearest:.2g} of their spread away. Watch it at "
        "work with capture.py, from the Debug page: that says where it departs."
    )


def import_checked(
    tensors: Mapping[str, Tensor], guesses: Choices, vocabularies: Sides, pairs: Pairs, origin: str
) -> Checkpoint:
    """A checkpoint that gives the logits of the pairs, with a note on the comparison.

    Raises:
        CheckpointError, VocabularyError, ConfigError: as :func:`proven`.
    """
    found = proven(tensors, guesses, vocabularies, pairs)
    return replace(found.made, notes=(*found.made.notes, found.note)).checkpoint(origin)


def _combinations(guesses: Choices, made: Converted) -> Iterator[Choices]:
    """All combinations of what shapes cannot tell, guesses first; positions are fixed."""
    heads = [n for n in range(64, 0, -1) if made.config.d_model % n == 0]
    sides = {
        "num_heads": _first(guesses.num_heads, heads),
        "norm_first": _first(guesses.norm_first, (True, False)),
        "activation": _first(guesses.activation, options_of("activation")),
        "scale_embeddings": _first(guesses.scale_embeddings, (True, False)),
    }
    for values in product(*sides.values()):
        yield replace(guesses, **dict(zip(sides, values, strict=True)))


def _first(chosen: Any, options: Iterable[Any]) -> list[Any]:
    return [chosen, *(one for one in options if one != chosen)]


def _largest_difference(model: Transformer, made: Converted, pairs: Pairs) -> float:
    """The largest difference of a logit at unpadded positions, over the logits' spread."""
    ours, theirs = made.target.ids, made.source.ids
    try:
        source = pairs.source.clone().apply_(lambda n: theirs[int(n)])
        target = pairs.target.clone().apply_(lambda n: ours[int(n)])
        columns = [ours[n] for n in range(pairs.logits.shape[-1])]
    except KeyError:
        raise CheckpointError(
            "The pairs have ids, or logits of tokens, that the vocabularies do not have."
        ) from None
    with torch.no_grad():
        logits = model(source, target)[..., columns]
    real = target != model.config.pad_id
    if not bool(real.any()):
        raise CheckpointError("The pairs' target is nothing but padding.")
    here, there = logits[real], pairs.logits[real]
    there = there - there.mean(-1, keepdim=True)  # log-probabilities differ by a constant
    here = here - here.mean(-1, keepdim=True)
    difference = (here - there).abs().max() / there.std().clamp(min=1e-9)
    return float(torch.nan_to_num(difference, nan=torch.inf))

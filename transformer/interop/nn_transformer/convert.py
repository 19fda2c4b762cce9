"""Converts a state dict of ``torch.nn.Transformer`` to the hand-built model, with equal logits.

:func:`survey` inspects a state dict, the user corrects its guesses, and :func:`convert` makes a
checkpoint. The packed matrix of queries, keys and values is split, and the rows of the vocabularies
are put in our order, with the special tokens first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.checkpoint import Checkpoint
from transformer.checkpoint.checkpoint import assemble
from transformer.checkpoint.weights import is_finite
from transformer.config import DataConfig, TransformerConfig
from transformer.errors import CheckpointError
from transformer.interop.foreign_vocabulary import Sides
from transformer.interop.nn_transformer.name_mapping import (
    BOTH,
    OUTPUT,
    OUTPUT_BIAS,
    POSITIONS,
    SOURCE,
    SOURCE_POSITIONS,
    TARGET,
    TARGET_POSITIONS,
    UNIQUE_ROLES,
)
from transformer.interop.nn_transformer.positions import as_table
from transformer.interop.nn_transformer.questions import TABLE
from transformer.interop.nn_transformer.rows import (
    NEVER_WRITTEN_BIAS,
    Arrangement,
    arrange,
    describe_rows,
)
from transformer.interop.nn_transformer.stacks import Stack, shown, tensors_of
from transformer.interop.nn_transformer.survey import Choices, Sizes, Survey, survey
from transformer.model import Transformer

__all__ = ["Choices", "Converted", "Survey", "convert", "converted", "survey"]

REQUIRED_SPECIAL_TOKENS = {"bos-eos": ("bos", "eos"), "eos": ("eos",), "none": ()}


@dataclass(frozen=True)
class Converted:
    """A foreign model as our config and tensors, in its original precision.

    tensors: by our parameters' names.
    source, target: the foreign row of each of our ids.
    notes: what was added or assumed, in sentences.
    """

    config: TransformerConfig
    tensors: dict[str, Tensor]
    source: Arrangement
    target: Arrangement
    notes: tuple[str, ...]

    def model(self) -> Transformer:
        """The model in evaluation mode, in the precision of its tensors."""
        return assemble(self.config, self.tensors)

    def checkpoint(self, origin: str, *, compared: bool = True) -> Checkpoint:
        """The model as a checkpoint, in 32 bits.

        Args:
            origin: where the model comes from, in a sentence.
            compared: whether its logits were compared with the original's.
        """
        return Checkpoint.of(
            self.model(),
            self.source.vocabulary,
            self.target.vocabulary,
            DataConfig(task="imported"),
            None,
            [],
            " ".join(self.notes),
            origin=origin,
            compared=compared,
            copied=False,
        )


def convert(
    tensors: Mapping[str, Tensor],
    choices: Choices,
    vocabularies: Sides,
    *,
    origin: str = "",
) -> Checkpoint:
    """A checkpoint of a foreign model, in 32 bits; its logits are not compared.

    Args:
        vocabularies: source and target; :func:`foreign_vocabulary.numbered` replaces a missing
            one.
        origin: where the model comes from, in a sentence.

    Raises:
        CheckpointError: the tensors do not fit the roles that the choices give them.
        VocabularyError: a vocabulary does not fit its embedding.
        ConfigError: the choices contradict each other, or the model is too large.
    """
    made = converted(tensors, choices, vocabularies)
    origin = origin or "Imported from the state dict of a torch.nn.Transformer."
    return made.checkpoint(origin, compared=False)


def converted(tensors: Mapping[str, Tensor], choices: Choices, vocabularies: Sides) -> Converted:
    """Like :func:`convert`, in the precision of the file; raises the same errors."""
    found = survey(tensors)
    sizes = found.sizes(choices.roles)
    _check_weights(tensors, [*found.stacks.names, *_used(sizes)])
    source, target = _arranged(sizes, choices, vocabularies)
    shared = _is_shared(tensors, sizes, source, target)
    tied = OUTPUT not in sizes.names or _same(
        tensors, sizes.names[OUTPUT], _of(sizes, TARGET, BOTH)
    )
    config = _config(found, choices, sizes, source, target, shared=shared, tied=tied)
    dtype = _dtype(tensors[name] for name in (*found.stacks.names, *_used(sizes)))

    made: dict[str, Tensor] = {}
    for side, role, rows in (("source", SOURCE, source), ("target", TARGET, target)):
        if not (shared and side == "target"):
            table = tensors[_of(sizes, role, BOTH)].to("cpu", dtype)
            made[f"{side}_embedding.tokens.weight"] = rows.pick(table)
        if config.position_layout == "learned":
            made[f"{side}_embedding.positions"] = _positions(tensors, sizes, side, config, dtype)
    for stack in (found.stacks.encoder, found.stacks.decoder):
        made |= _stack(tensors, stack, dtype)
    if not tied:
        made["output.weight"] = target.pick(tensors[sizes.names[OUTPUT]].to("cpu", dtype))
    if config.output_bias:
        made["output.bias"] = _bias(tensors, sizes, target, dtype)
    notes = _notes(found, choices, sizes, vocabularies, source, target)
    return Converted(config, made, source, target, notes)


# --- Checks ---------------------------------------------------------------------------------


def _used(sizes: Sizes) -> list[str]:
    return [name for role, name in sizes.names.items() if role in UNIQUE_ROLES]


def _check_weights(tensors: Mapping[str, Tensor], names: list[str]) -> None:
    for name in names:
        if not tensors[name].is_floating_point():
            kind = str(tensors[name].dtype).removeprefix("torch.")
            raise CheckpointError(
                f"The tensor {shown(name)} holds {kind}; expected floating-point numbers."
            )
        if not is_finite(tensors[name]):
            raise CheckpointError(f"The tensor {shown(name)} holds NaN or infinity.")


def _arranged(
    sizes: Sizes, choices: Choices, vocabularies: Sides
) -> tuple[Arrangement, Arrangement]:
    if choices.source_frame not in REQUIRED_SPECIAL_TOKENS:
        raise CheckpointError(
            f"source_frame = {choices.source_frame[:20]!r}: must be one of "
            f"{', '.join(REQUIRED_SPECIAL_TOKENS)}."
        )
    required = REQUIRED_SPECIAL_TOKENS[choices.source_frame]
    return (
        arrange(vocabularies[0], sizes.source_vocab_size, "source", required),
        arrange(vocabularies[1], sizes.target_vocab_size, "target", ("bos", "eos")),
    )


def _is_shared(
    tensors: Mapping[str, Tensor], sizes: Sizes, source: Arrangement, target: Arrangement
) -> bool:
    """Whether both embeddings have the same numbers in the same order, so that one serves."""
    return source.rows == target.rows and _same(
        tensors, _of(sizes, SOURCE, BOTH), _of(sizes, TARGET, BOTH)
    )


def _of(sizes: Sizes, role: str, both: str) -> str:
    return sizes.names.get(role) or sizes.names[both]


def _same(tensors: Mapping[str, Tensor], left: str, right: str) -> bool:
    one, other = tensors[left], tensors[right]
    return left == right or (one.dtype == other.dtype and torch.equal(one, other))


def _dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """float64 if any tensor has it, else float32."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def _config(
    found: Survey,
    choices: Choices,
    sizes: Sizes,
    source: Arrangement,
    target: Arrangement,
    *,
    shared: bool,
    tied: bool,
) -> TransformerConfig:
    encoder, decoder, ended = (
        found.stacks.encoder, found.stacks.decoder, found.stacks.ending_in_a_norm,
    )  # fmt: skip
    if choices.positions == TABLE and sizes.places is None:
        raise CheckpointError(
            "The file's own table of positions is to be kept, but no tensor is given as one."
        )
    if choices.positions == TABLE and choices.max_length > (sizes.places or 0):
        raise CheckpointError(
            f"max_length = {choices.max_length:,}: the table of positions has only "
            f"{sizes.places:,} rows."
        )
    return TransformerConfig(
        source_vocab_size=len(source.rows),
        target_vocab_size=len(target.rows),
        d_model=found.stacks.d_model,
        num_heads=choices.num_heads,
        num_encoder_layers=found.stacks.encoder.layers,
        num_decoder_layers=found.stacks.decoder.layers,
        d_ff=encoder.d_ff,
        decoder_d_ff=decoder.d_ff if decoder.d_ff != encoder.d_ff else 0,
        dropout=0.0,
        max_length=choices.max_length,
        norm_first=choices.norm_first,
        final_norm=bool(ended),
        final_norm_side=ended[0] if len(ended) == 1 else "both",
        activation=choices.activation,
        tie_embeddings=tied,
        share_embeddings=shared,
        scale_embeddings=choices.scale_embeddings,
        position_layout="learned" if choices.positions == TABLE else choices.positions,
        output_bias=OUTPUT_BIAS in sizes.names or bool(target.never_written),
        layer_norm_eps=choices.layer_norm_eps,
        source_frame=choices.source_frame,
    )


# --- Tensors --------------------------------------------------------------------------------


def _bias(
    tensors: Mapping[str, Tensor], sizes: Sizes, target: Arrangement, dtype: torch.dtype
) -> Tensor:
    """The bias of the logits: ``NEVER_WRITTEN_BIAS`` for tokens that must never be written."""
    name = sizes.names.get(OUTPUT_BIAS)
    theirs = torch.zeros(sizes.target_vocab_size) if name is None else tensors[name]
    bias = target.pick(theirs.to("cpu", dtype))
    bias[list(target.never_written)] = NEVER_WRITTEN_BIAS
    return bias


def _positions(
    tensors: Mapping[str, Tensor],
    sizes: Sizes,
    side: str,
    config: TransformerConfig,
    dtype: torch.dtype,
) -> Tensor:
    name = _of(sizes, SOURCE_POSITIONS if side == "source" else TARGET_POSITIONS, POSITIONS)
    table = as_table(tensors[name], config.d_model)
    assert table is not None  # the shape has been checked
    return table[: config.max_length].to("cpu", dtype, copy=True)


def _stack(tensors: Mapping[str, Tensor], stack: Stack, dtype: torch.dtype) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for theirs, ours in tensors_of(stack):
        parts = tensors[theirs].to("cpu", dtype).chunk(len(ours))
        made |= {name: part.clone() for name, part in zip(ours, parts, strict=True)}
    if not stack.bias:  # a zero bias has no effect
        for name, tensor in list(made.items()):
            at, _, kind = name.rpartition(".")
            if kind in ("weight", "gain"):
                made[f"{at}.bias"] = tensor.new_zeros(tensor.size(0))
    return made


def _notes(
    found: Survey,
    choices: Choices,
    sizes: Sizes,
    vocabularies: Sides,
    source: Arrangement,
    target: Arrangement,
) -> tuple[str, ...]:
    notes = []
    for side, foreign, rows in zip(
        ("source", "target"), vocabularies, (source, target), strict=True
    ):
        notes += describe_rows(rows, foreign.special, side)
    if not (found.stacks.encoder.bias and found.stacks.decoder.bias):
        notes.append("Its layers have no biases; here they are zero.")
    if OUTPUT not in sizes.names:
        notes.append("It has no output projection of its own: the target embedding serves as it.")
    return tuple(notes)

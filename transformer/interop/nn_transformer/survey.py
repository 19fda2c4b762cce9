"""Inspects a state dict: what its shapes show, and guesses for what must be asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from transformer.errors import CheckpointError
from transformer.interop.foreign_vocabulary import Special
from transformer.interop.nn_transformer.name_mapping import (
    BOTH,
    LEFT_OUT,
    OUTPUT,
    OUTPUT_BIAS,
    POSITIONS,
    ROLES,
    SOURCE,
    SOURCE_POSITIONS,
    TARGET,
    TARGET_POSITIONS,
    UNIQUE_ROLES,
    UNKNOWN,
    Row,
    propose,
)
from transformer.interop.nn_transformer.positions import as_table, layout_of
from transformer.interop.nn_transformer.questions import NONE, TABLE
from transformer.interop.nn_transformer.stacks import Stacks, find_stacks, shown

USUAL_LENGTH = 512


@dataclass(frozen=True)
class Choices:
    """The user's decisions; ``Survey.guesses`` proposes them.

    roles: of each tensor outside the stacks, by its name.
    The other fields are those of ``TransformerConfig``, with the values in ``QUESTIONS``.
    """

    num_heads: int
    norm_first: bool
    activation: str
    scale_embeddings: bool
    positions: str
    source_frame: str
    max_length: int
    layer_norm_eps: float = 1e-5
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sizes:
    """The sizes of the model, from its tensors and their roles.

    places: rows of the shortest table of positions; None if there is none.
    names: role -> name of the tensor with that role.
    """

    source_vocab_size: int
    target_vocab_size: int
    places: int | None
    names: Mapping[str, str]


@dataclass(frozen=True)
class Survey:
    """What was found in a state dict.

    guesses: answers to everything that shapes cannot tell; special: ids of the special tokens
        if there is no vocabulary; reasons: for each guess.
    rows: the tensors outside the stacks, with their proposed roles.
    """

    stacks: Stacks
    rows: tuple[Row, ...]
    guesses: Choices
    special: Special
    reasons: Mapping[str, str]

    @property
    def sentence(self) -> str:
        """What was found, in a sentence for the user."""
        encoder, decoder = self.stacks.encoder, self.stacks.decoder
        ended = self.stacks.ending_in_a_norm
        norm = "with a final norm" if ended else "without a final norm"
        norm += f" of the {ended[0]} alone" if len(ended) == 1 else ""
        wide = f"{encoder.d_ff}"
        if decoder.d_ff != encoder.d_ff:
            wide += f" in the encoder and {decoder.d_ff} in the decoder"
        bias = "" if encoder.bias and decoder.bias else ", without biases"
        return (
            f"An nn.Transformer of {encoder.layers} encoder and {decoder.layers} decoder layers, "
            f"d_model {self.stacks.d_model}, d_ff {wide}, {norm}{bias}: "
            f"{len(self.stacks.names)} tensors, all with the shapes they must have."
        )

    def sizes(self, roles: Mapping[str, str]) -> Sizes:
        """The sizes under these roles; checks each tensor's shape.

        Raises:
            CheckpointError: a role is missing or given twice, a tensor is left without one, or
                its shape contradicts it.
        """
        return _sizes(self, roles)


def survey(tensors: Mapping[str, Tensor]) -> Survey:
    """Inspect a state dict without converting anything.

    Raises:
        CheckpointError: it holds no encoder or no decoder of ``nn.Transformer``, or their tensors
            are missing or contradict each other.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    stacks = find_stacks(shapes)
    outside = [name for name in tensors if name not in stacks.names]
    if not any(len(shapes[name]) == 2 for name in outside):
        raise CheckpointError(
            "This is an nn.Transformer alone: it maps vectors to vectors, without embeddings and "
            "without an output projection there are no tokens. Save the state dict of the module "
            "that holds all three."
        )
    rows = tuple(propose(tensors, outside, stacks.d_model))
    guesses, reasons = _guess(tensors, stacks, rows)
    special, reasons["special"] = _guess_special(tensors, rows)
    return Survey(stacks, rows, guesses, special, reasons)


def _guess(
    tensors: Mapping[str, Tensor], stacks: Stacks, rows: tuple[Row, ...]
) -> tuple[Choices, dict[str, str]]:
    d_model = stacks.d_model
    reasons = {
        "norm_first": "the default of nn.Transformer; shapes cannot tell",
        "activation": "the default of nn.Transformer; shapes cannot tell",
        "layer_norm_eps": "the default of nn.Transformer",
        "source_frame": "the tutorials on translation put both around the source too",
    }
    heads = next(number for number in (8, 4, 2, 1) if d_model % number == 0)
    while heads > 1 and d_model // heads < 8:
        heads //= 2
    reasons["num_heads"] = (
        "the default of nn.Transformer; shapes cannot tell"
        if heads == 8
        else f"divides d_model = {d_model}; shapes cannot tell"
    )
    positions, length, reasons["positions"], reasons["max_length"] = _guess_positions(
        tensors, rows, d_model
    )
    scaled, reasons["scale_embeddings"] = _guess_scale(tensors, rows, d_model, positions)
    choices = Choices(
        num_heads=heads,
        norm_first=False,
        activation="relu",
        scale_embeddings=scaled,
        positions=positions,
        source_frame="bos-eos",
        max_length=length,
        roles={row.name: row.role for row in rows},
    )
    return choices, reasons


def _guess_positions(
    tensors: Mapping[str, Tensor], rows: tuple[Row, ...], d_model: int
) -> tuple[str, int, str, str]:
    """The layout, the length, and a reason for each."""
    tables = [
        table
        for row in rows
        if row.role in (POSITIONS, SOURCE_POSITIONS, TARGET_POSITIONS)
        and (table := as_table(tensors[row.name], d_model)) is not None
    ]
    if not tables:
        why = "the file has no table of positions; this is what most tutorials compute"
        return "interleaved", USUAL_LENGTH, why, "sines and cosines go on for ever"
    length = min(map(len, tables))
    found = [layout_of(table) for table in tables]
    first = found[0]
    if first is None or any(other is None or other[0] != first[0] for other in found):
        why = "the table holds no sines and cosines, so it was learned"
        return TABLE, min(length, 4096), why, f"the table has {length:,} rows"
    deviation = max(other[1] for other in found if other is not None)
    why = (
        "the table is the paper's formula to the last bit"
        if deviation == 0
        else f"the table is the paper's formula to {deviation:.0e}, its own rounding"
    )
    if length <= USUAL_LENGTH:
        return first[0], length, why, f"the table has {length:,} rows"
    reason = f"the table has {length:,} rows, more than most models ever read; at most 4,096"
    return first[0], USUAL_LENGTH, why, reason


def _guess_scale(
    tensors: Mapping[str, Tensor], rows: tuple[Row, ...], d_model: int, positions: str
) -> tuple[bool, str]:
    """Whether embeddings are multiplied by √d_model, and the reason.

    Embeddings must not be much smaller than the sines and cosines added to them, of size 0.7: with
    entries of size 1 / √d_model (Xavier's, or the paper's) they must be scaled.
    """
    embedding = next((row for row in rows if row.role in (SOURCE, BOTH, TARGET)), None)
    if embedding is None:
        return True, "the paper's way"
    size = float(tensors[embedding.name].double().std())
    if positions in (TABLE, NONE):
        return False, "models with learned positions seldom scale"
    for end, tutorial in (
        ("tok_emb.embedding.weight", "PyTorch's translation tutorial"),
        (".lut.weight", "The Annotated Transformer"),
    ):
        if embedding.name.endswith(end):
            return True, f"{tutorial}, whose names these are, does so"
    if size * d_model**0.5 < 4:
        return True, f"entries of size {size:.2g} would drown in the positions otherwise"
    return False, f"entries of size {size:.2g} stand out beside the positions as they are"


def _guess_special(tensors: Mapping[str, Tensor], rows: tuple[Row, ...]) -> tuple[Special, str]:
    """Ids of the special tokens without a vocabulary, and the reason for the guess."""
    for row in rows:
        if row.role in (SOURCE, TARGET, BOTH):
            zeros = (tensors[row.name] == 0).all(dim=1).nonzero().flatten().tolist()
            if zeros in ([0], [1]):
                why = f"row {zeros[0]} is zeros, as padding_idx = {zeros[0]} leaves it; then the "
                why += "tutorials' order"
                return (Special(0, 1, 2, 3) if zeros == [0] else Special(1, 2, 3, 0)), why
    return Special(1, 2, 3, 0), "the order of PyTorch's translation tutorial"


def _sizes(found: Survey, roles: Mapping[str, str]) -> Sizes:
    d_model = found.stacks.d_model
    shapes = {row.name: row.shape for row in found.rows}
    names: dict[str, str] = {}
    for name in shapes:
        role = roles.get(name, UNKNOWN)
        if role not in ROLES:
            raise CheckpointError(f"{shown(role)!r} is no role; choose one of {', '.join(ROLES)}.")
        if role == UNKNOWN:
            raise CheckpointError(
                f"What the tensor {shown(name)} of shape {list(shapes[name])} is for is not known; "
                f"say it, or that it is to be {LEFT_OUT}."
            )
        if role in UNIQUE_ROLES and role in names:
            raise CheckpointError(
                f"Both {shown(names[role])} and {shown(name)} are given as {role}; one is expected."
            )
        names[role] = name
    source, target = (
        _pair(names, one, BOTH, other, "embedding")
        for one, other in ((SOURCE, TARGET), (TARGET, SOURCE))
    )
    for role in {SOURCE, TARGET, BOTH, OUTPUT} & names.keys():
        shape = shapes[names[role]]
        if len(shape) != 2 or shape[1] != d_model:
            raise _contradicts(names[role], shape, f"[tokens, {d_model}]", role)
    sizes = shapes[source][0], shapes[target][0]
    for role, expected in ((OUTPUT, (sizes[1], d_model)), (OUTPUT_BIAS, (sizes[1],))):
        if role in names and shapes[names[role]] != expected:
            raise _contradicts(
                names[role],
                shapes[names[role]],
                f"{list(expected)}, since the target embedding {shown(target)} has {sizes[1]} rows",
                role,
            )
    return Sizes(*sizes, _places(names, shapes, d_model), names)


def _pair(names: Mapping[str, str], role: str, both: str, other: str, what: str) -> str:
    if role in names and both in names:
        raise CheckpointError(
            f"{shown(names[both])} is given as {both}, and {shown(names[role])} as {role}; "
            "expected the one or the other."
        )
    if role not in names and both not in names:
        raise CheckpointError(
            f"No tensor is the {role}; expected one of shape [tokens, d_model]. Without it there "
            "are no tokens: save the state dict of the whole module, or say which tensor it is."
        )
    return names.get(role) or names[both]


def _places(
    names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], d_model: int
) -> int | None:
    lengths = []
    for role in (POSITIONS, SOURCE_POSITIONS, TARGET_POSITIONS):
        if role not in names:
            continue
        shape = shapes[names[role]]
        if (
            len(shape) not in (2, 3)
            or shape[-1] != d_model
            or (len(shape) == 3 and 1 not in shape[:2])
        ):
            raise _contradicts(
                names[role], shape, f"[length, {d_model}], with a 1 before or between", role
            )
        lengths.append(max(shape[:-1]))
    if (SOURCE_POSITIONS in names) is not (TARGET_POSITIONS in names) and POSITIONS not in names:
        has, lacks = SOURCE_POSITIONS, TARGET_POSITIONS
        if has not in names:
            has, lacks = lacks, has
        raise CheckpointError(
            f"{shown(names[has])} is given as {has}, and no tensor as {lacks}; give both, or one "
            f"as {POSITIONS}."
        )
    return min(lengths) if lengths else None


def _contradicts(name: str, shape: tuple[int, ...], expected: str, role: str) -> CheckpointError:
    return CheckpointError(
        f"The tensor {shown(name)} has shape {list(shape)}; expected {expected}, to be the {role}."
    )

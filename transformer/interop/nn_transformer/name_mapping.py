"""Proposes a role for each tensor outside the stacks, from its values, name and shape.

These names follow no convention. So each proposal has a reason and a degree of certainty, and the
user may correct it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transformer.interop.nn_transformer.positions import as_table, layout_of

SOURCE, TARGET, BOTH = "source embedding", "target embedding", "embedding of both"
OUTPUT, OUTPUT_BIAS = "output projection", "output bias"
SOURCE_POSITIONS, TARGET_POSITIONS = "source positions", "target positions"
POSITIONS = "positions of both"
LEFT_OUT = "left out"
UNKNOWN = "not known"
ROLES = (
    *(SOURCE, TARGET, BOTH, OUTPUT, OUTPUT_BIAS),
    *(SOURCE_POSITIONS, TARGET_POSITIONS, POSITIONS, LEFT_OUT, UNKNOWN),
)
UNIQUE_ROLES = frozenset(ROLES) - {LEFT_OUT, UNKNOWN}
"""Roles that at most one tensor can have."""

POSITION_WORDS = frozenset({"pe", "wpe"})
EMBEDDING_WORDS = frozenset({"lut", "tok", "token", "tokens", "wte", "word", "words", "lookup"})
OUTPUT_WORDS = frozenset(
    {"generator", "fc", "out", "output", "outputs", "linear", "proj", "projection", "head"}
    | {"classifier", "unembed", "logits", "final", "predictor", "lm", "dense"}
)
SOURCE_WORDS = frozenset(["src", "source", "enc", "encoder", "input", "inputs"])
TARGET_WORDS = frozenset(["tgt", "trg", "target", "dec", "decoder", "output", "outputs", "out"])


@dataclass(frozen=True)
class Row:
    """A tensor of the file outside the stacks, with its proposed role.

    sure: "sure" (by its values, or name and shape agree), "likely" or "a guess".
    why: the reason, in a few words.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    sure: str
    why: str


def propose(tensors: Mapping[str, Tensor], names: Iterable[str], d_model: int) -> list[Row]:
    """A role for each of these tensors, in their order."""
    names = list(names)
    rows = {name: _by_itself(name, tensors[name], d_model) for name in names}
    _by_neighbours(rows)
    _copies(rows, tensors)
    for role in UNIQUE_ROLES:
        # The most certain tensor keeps the role.
        claims = sorted(
            (row for row in rows.values() if row.role == role),
            key=lambda row: ("sure", "likely", "a guess").index(row.sure),
        )
        for row in claims[1:]:
            why = f"{claims[0].name} is the {role} already"
            rows[row.name] = replace(row, role=UNKNOWN, sure="a guess", why=why)
    return [rows[name] for name in names]


def words(name: str) -> set[str]:
    """The words in a name, in lower case: "srcEmbed.0.tok_emb" has src, embed, tok and emb."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def _side(said: set[str]) -> str:
    """ "source" or "target" if the words of a name show it, else empty."""
    source = said & SOURCE_WORDS or {word for word in said if word.startswith("src")}
    target = said & TARGET_WORDS or {word for word in said if word.startswith(("tgt", "trg"))}
    if bool(source) is bool(target):
        return ""
    return "source" if source else "target"


def _by_itself(name: str, tensor: Tensor, d_model: int) -> Row:
    """A proposal from the tensor's own values, name and shape; the role is "" if undecided."""
    shape, said = tuple(tensor.shape), words(name)

    def row(role: str, sure: str, why: str) -> Row:
        return Row(name, shape, role, sure, why)

    side = _side(said)
    places = {"source": SOURCE_POSITIONS, "target": TARGET_POSITIONS}.get(side, POSITIONS)
    named_position = bool(said & POSITION_WORDS) or any(
        word == "pos" or word.startswith(("posi", "pose")) for word in said
    )
    table = as_table(tensor, d_model)
    if table is not None and layout_of(table) is not None:
        return row(places, "sure", "holds sines and cosines")
    if _is_mask(tensor):
        return row(LEFT_OUT, "sure", "a mask, which is made again here")
    if table is not None and named_position:
        return row(places, "sure", "named so, and as wide as the model")
    if not tensor.is_floating_point() or tensor.dim() == 0:
        return row(LEFT_OUT, "likely", "no weights: counts or whole numbers")
    if tensor.dim() == 3 and table is not None:
        return row(places, "likely", "a table as wide as the model")
    if tensor.dim() == 1 and name.endswith("bias") and said & OUTPUT_WORDS and len(tensor) > 1:
        return row(OUTPUT_BIAS, "likely", "named so")
    if tensor.dim() != 2 or tensor.size(1) != d_model:
        return row(UNKNOWN, "a guess", f"not [anything, {d_model}], as embeddings are")
    if any(word.startswith("emb") for word in said) or said & EMBEDDING_WORDS:
        role = {"source": SOURCE, "target": TARGET}.get(side, BOTH)
        return row(role, "sure" if side else "likely", "named so, and as wide as the model")
    if said & OUTPUT_WORDS and not said & {"src", "source", "enc", "encoder"}:
        return row(OUTPUT, "sure", "named so, and as wide as the model")
    return row("", "a guess", "as wide as the model")


def _is_mask(tensor: Tensor) -> bool:
    """Whether a tensor is a causal mask: a square with one value on and below the diagonal, and
    another above it."""
    square = tensor.flatten(0, -3) if tensor.dim() > 2 else tensor[None]
    if tensor.dim() < 2 or len(square) != 1 or square.size(1) != square.size(2):
        return False
    if square.size(1) < 2:
        return False
    below = torch.ones(square.shape[1:], dtype=torch.bool).tril()
    return all(len(part.unique()) == 1 for part in (square[0][below], square[0][~below])) and bool(
        square[0, 0, 0] != square[0, 0, 1]
    )


def _by_neighbours(rows: dict[str, Row]) -> None:
    """Settle undecided roles: by a bias beside the tensor, by its side, by roles still missing."""
    open_rows = [row for row in rows.values() if not row.role]
    for row in open_rows:
        bias = rows.get(f"{row.name.removesuffix('weight')}bias")
        if bias is not None and bias.shape == row.shape[:1] and row.name.endswith("weight"):
            why = "has a bias beside it, as a projection does"
            rows[row.name] = replace(row, role=OUTPUT, sure="likely", why=why)
    roles = {row.role for row in rows.values()}
    for row in [row for row in rows.values() if not row.role]:
        side = _side(words(row.name))
        free = [
            role
            for role in ({"source": SOURCE, "target": TARGET}.get(side), SOURCE, TARGET, OUTPUT)
            if role is not None and role not in roles
        ]
        if BOTH in roles:
            free = [role for role in free if role == OUTPUT]
        role = free[0] if free else UNKNOWN
        sure = "likely" if side and role != OUTPUT else "a guess"
        why = f"named after its side: {side}" if sure == "likely" else f"the {role} is missing"
        if role == UNKNOWN:
            sure, why = "a guess", "nothing like it is missing"
        roles.add(role)
        rows[row.name] = replace(row, role=role, sure=sure, why=why)
    _one_for_both(rows)
    for row in list(rows.values()):
        weight = rows.get(f"{row.name.removesuffix('bias')}weight")
        if len(row.shape) == 1 and row.name.endswith("bias") and weight is not None:
            if weight.role == OUTPUT:
                sure = "sure" if weight.shape[:1] == row.shape else "likely"
                why = "beside the output projection"
                rows[row.name] = replace(row, role=OUTPUT_BIAS, sure=sure, why=why)
            elif row.role == OUTPUT_BIAS:
                rows[row.name] = replace(row, role=UNKNOWN, sure="a guess", why="fits nothing")


def _one_for_both(rows: dict[str, Row]) -> None:
    """A single embedding or table of positions serves both sides; two of them serve one side
    each."""
    for source, target, both in (
        (SOURCE, TARGET, BOTH),
        (SOURCE_POSITIONS, TARGET_POSITIONS, POSITIONS),
    ):
        by_role: dict[str, list[Row]] = {}
        for row in rows.values():
            by_role.setdefault(row.role, []).append(row)
        sides, shared = by_role.get(source, []) + by_role.get(target, []), by_role.get(both, [])
        if len(sides) == 1 and not shared:
            why = "the only one in the file"
            rows[sides[0].name] = replace(sides[0], role=both, sure="likely", why=why)
        elif len(shared) == 1 and len(sides) == 1:
            # One has a side, so the other is for the other side.
            rest = target if sides[0].role == source else source
            why = f"{sides[0].name} is the other side's"
            rows[shared[0].name] = replace(shared[0], role=rest, sure="likely", why=why)
        elif len(shared) == 2 and not sides:
            for row, role, place in zip(shared, (source, target), ("first", "second"), strict=True):
                why = f"the {place} of two in the file"
                rows[row.name] = replace(row, role=role, sure="a guess", why=why)


def _copies(rows: dict[str, Row], tensors: Mapping[str, Tensor]) -> None:
    """Leave out second copies of a tensor, which state dicts have of shared ones."""
    first: dict[str, str] = {}
    for row in list(rows.values()):
        kept = first.setdefault(row.role, row.name)
        if row.role not in UNIQUE_ROLES or kept == row.name:
            continue
        if torch.equal(tensors[kept], tensors[row.name]):
            why = f"the same numbers as {kept}"
            rows[row.name] = replace(row, role=LEFT_OUT, sure="sure", why=why)

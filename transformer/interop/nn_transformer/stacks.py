"""Finds the encoder and the decoder of ``torch.nn.Transformer`` by their tensors' names.

PyTorch's modules always name their tensors alike; only the prefix differs. So both stacks are found
inside any module of the user; :mod:`interop.nn_transformer.name_mapping` handles all other tensors.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from transformer.errors import CheckpointError
from transformer.vocabulary.vocabulary import printable

Shapes = Mapping[str, tuple[int, ...]]

LAYER = re.compile(r"(?P<prefix>(?:.*\.)?)layers\.(?P<number>\d{1,4})\.self_attn\.in_proj_weight")
WANTED = "encoder.layers.0.self_attn.in_proj_weight"


@dataclass(frozen=True)
class Stack:
    """One of the two stacks.

    kind: "encoder" or "decoder", which has a second attention in each layer.
    prefix: of its tensors' names, such as "transformer.encoder.".
    bias: whether its layers have biases; if not, ours get zeros.
    d_ff: the inner width of its feed-forward networks; 0 if it is not needed.
    """

    kind: str
    prefix: str
    layers: int
    final_norm: bool
    bias: bool
    d_ff: int = 0


@dataclass(frozen=True)
class Stacks:
    """Both stacks and their common width.

    names: of all tensors in the stacks.
    """

    encoder: Stack
    decoder: Stack
    d_model: int
    names: frozenset[str]

    @property
    def ending_in_a_norm(self) -> list[str]:
        """The kinds of the stacks that have a final norm."""
        return [stack.kind for stack in (self.encoder, self.decoder) if stack.final_norm]


def correspondence(kind: str, layers: int, final_norm: bool) -> dict[str, tuple[str, ...]]:
    """A stack's tensors in ``nn.Transformer``, each with those of ours that it concatenates.

    Names are relative to the stack: "layers.0.self_attn.in_proj_weight" holds our weights of
    query, key and value.
    """
    pairs: dict[str, tuple[str, ...]] = {}
    attentions = {"self_attn": "self_attention"}
    norms = {"norm1": "self_attention_residual"}
    if kind == "decoder":
        attentions["multihead_attn"] = "cross_attention"
        norms["norm2"] = "cross_attention_residual"
    norms[f"norm{len(norms) + 1}"] = "feed_forward_residual"
    for layer in range(layers):
        at = f"layers.{layer}"
        for theirs, ours in attentions.items():
            for part in ("weight", "bias"):
                packed = (f"{at}.{ours}.{role}.{part}" for role in ("query", "key", "value"))
                pairs[f"{at}.{theirs}.in_proj_{part}"] = tuple(packed)
                pairs[f"{at}.{theirs}.out_proj.{part}"] = (f"{at}.{ours}.output.{part}",)
        for theirs, ours in (("linear1", "inner"), ("linear2", "outer")):
            for part in ("weight", "bias"):
                pairs[f"{at}.{theirs}.{part}"] = (f"{at}.feed_forward.{ours}.{part}",)
        for theirs, ours in norms.items():
            pairs[f"{at}.{theirs}.weight"] = (f"{at}.{ours}.norm.gain",)
            pairs[f"{at}.{theirs}.bias"] = (f"{at}.{ours}.norm.bias",)
    if final_norm:
        pairs["norm.weight"], pairs["norm.bias"] = ("norm.gain",), ("norm.bias",)
    return pairs


def shape_in_stack(name: str, d_model: int, d_ff: int) -> tuple[int, ...]:
    """The shape a tensor of a stack must have."""
    shapes: dict[str, tuple[int, ...]] = {
        "in_proj_weight": (3 * d_model, d_model),
        "in_proj_bias": (3 * d_model,),
        "out_proj.weight": (d_model, d_model),
        "linear1.weight": (d_ff, d_model),
        "linear1.bias": (d_ff,),
        "linear2.weight": (d_model, d_ff),
    }
    return next((shape for end, shape in shapes.items() if name.endswith(end)), (d_model,))


def shown(name: str) -> str:
    """A tensor's name for a message: invisible characters as codes, at most 100 characters."""
    return "".join(map(printable, name[:100])) + ("…" if len(name) > 100 else "")


def find_stacks(shapes: Shapes) -> Stacks:
    """Find both stacks, and check that they are complete and their shapes agree.

    Raises:
        CheckpointError: there is no encoder or no decoder, there are several, a tensor is
            missing, or a shape contradicts the others.
    """
    numbers: dict[str, set[int]] = defaultdict(set)
    for name in shapes:
        if found := LAYER.fullmatch(name):
            numbers[found["prefix"]].add(int(found["number"]))
    kinds: dict[str, list[str]] = {"encoder": [], "decoder": []}
    for prefix in numbers:
        cross = f"{prefix}layers.{min(numbers[prefix])}.multihead_attn."
        has_cross = any(name.startswith(cross) for name in shapes)
        kinds["decoder" if has_cross else "encoder"].append(prefix)
    if not numbers or not all(kinds.values()):
        raise CheckpointError(_what_it_is(shapes, kinds))
    for kind, prefixes in kinds.items():
        if len(prefixes) > 1:
            raise CheckpointError(
                f"The file holds {len(prefixes)} {kind}s, named {_listed(prefixes)}; one is "
                "expected. Save the state dict of one model."
            )
    encoder, decoder = (
        _measure(kind, prefixes[0], len(numbers[prefixes[0]]), shapes)
        for kind, prefixes in kinds.items()
    )
    packed = shapes[f"{encoder.prefix}layers.0.self_attn.in_proj_weight"]
    for stack in (encoder, decoder):
        inner = shapes[f"{stack.prefix}layers.0.linear1.weight"]
        if len(packed) != 2 or len(inner) != 2 or 0 in (*packed, *inner):
            raise CheckpointError(
                f"The first layer's in_proj_weight has shape {list(packed)} and its linear1.weight "
                f"{list(inner)}; expected two matrices, [3·d_model, d_model] and [d_ff, d_model]."
            )
    d_model = packed[1]
    names = frozenset(
        name for stack in (encoder, decoder) for name in _checked(stack, shapes, d_model)
    )
    return Stacks(encoder, decoder, d_model, names)


def tensors_of(stack: Stack) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Full names of a stack's tensors in the file, with ours; biases only if the stack has them."""
    for theirs, ours in correspondence(stack.kind, stack.layers, stack.final_norm).items():
        if stack.bias or not theirs.endswith("bias"):
            yield stack.prefix + theirs, tuple(f"{stack.kind}.{name}" for name in ours)


def _measure(kind: str, prefix: str, layers: int, shapes: Shapes) -> Stack:
    inside = [name for name in shapes if name.startswith(f"{prefix}layers.")]
    for name in (
        f"{prefix}layers.0.self_attn.in_proj_weight",
        f"{prefix}layers.0.linear1.weight",
    ):
        if name not in shapes:
            raise CheckpointError(f"The tensor {shown(name)} is missing.")
    inner = shapes[f"{prefix}layers.0.linear1.weight"]
    return Stack(
        kind,
        prefix,
        layers,
        final_norm=f"{prefix}norm.weight" in shapes,
        bias=any(name.endswith("bias") for name in inside),
        d_ff=inner[0] if inner else 0,
    )


def _checked(stack: Stack, shapes: Shapes, d_model: int) -> Iterator[str]:
    d_ff = stack.d_ff
    for name, _ in tensors_of(stack):
        expected = shape_in_stack(name, d_model, d_ff)
        if name not in shapes:
            raise CheckpointError(
                f"The tensor {shown(name)} is missing; expected one of shape {list(expected)}."
            )
        if shapes[name] != expected:
            raise CheckpointError(
                f"The tensor {shown(name)} has shape {list(shapes[name])}; expected "
                f"{list(expected)}, since d_model is {d_model} and d_ff {d_ff}."
            )
        yield name


CAPTURE = "With its code at hand, capture.py of the Debug page takes it, whatever its names are."


def _what_it_is(shapes: Shapes, kinds: Mapping[str, Collection[str]]) -> str:
    """Why a file without both stacks cannot be imported, as precisely as its names allow."""
    names = list(shapes)

    def some(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    need = "An encoder and a decoder are needed"
    if kinds["encoder"]:
        return (
            f"The file holds an encoder alone, {_listed(kinds['encoder'])}, as of "
            f"nn.TransformerEncoder. {need}, as nn.Transformer has them."
        )
    if kinds["decoder"]:
        return (
            f"The file holds a decoder alone, {_listed(kinds['decoder'])}, as of "
            f"nn.TransformerDecoder. {need}, as nn.Transformer has them."
        )
    if some(r"\bh\.\d+\.attn\.") or some(r"\b(blocks|layers)\.\d+\.(self_attn|attn|sa)\b"):
        if some(r"encoder\.layers\.\d+\.self_attn\.[qk]_proj") and some(r"\bdecoder\."):
            return (
                "Its attentions are named as in Hugging Face's transformers or in fairseq, not as "
                f"in an nn.Transformer. A MarianMT model is imported as its whole folder. {CAPTURE}"
            )
        if some(r"self_attn\.linears\.\d"):
            return (
                "Its layers are named as the Annotated Transformer's, and not as an "
                f"nn.Transformer's. {CAPTURE}"
            )
        both = some(r"\benc") and some(r"\bdec")
        if not both and not some(r"cross|src_attn|encoder_attn|multihead"):
            return (
                "This looks like a decoder-only language model such as GPT: no encoder and no "
                f"cross-attention is in it. {need}, as nn.Transformer has them."
            )
    shown = _listed(names[:3]) if names else "nothing"
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return (
        f"No nn.Transformer is in this file: expected tensors such as {WANTED}, found "
        f"{shown}{more}. {CAPTURE}"
    )


def _listed(names: Collection[str]) -> str:
    cut = dict.fromkeys(shown(name.rstrip(".")) or "(no name)" for name in list(names)[:5])
    return ", ".join(cut)  # cut names may be equal

"""Ablation: what the model writes without a head, or with the head's output for another input.

An attention map shows where a head looks, not whether the output depends on it. Here the head's
output (``head_outputs``, before W^O) is replaced, and the model's new output is compared with the
original. The functions set hooks on the given module and remove them again; each thread needs its
own module (``Checkpoint.view``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer.analysis.heads import Head, all_heads
from transformer.checkpoint import Checkpoint
from transformer.decoding.steps import pad
from transformer.decoding.strategies import Greedy, decode
from transformer.errors import UserError
from transformer.hooks import Replacement, ablate, record
from transformer.model import Transformer
from transformer.tasks import Pair

CHUNK = 50
"""Held-out examples decoded per progress update."""

Replacements = Mapping[Head, Replacement]
IsRight = Callable[[Pair, str], bool]


def equals_target(pair: Pair, output: str) -> bool:
    """Exact match, the criterion of most tasks."""
    return output == pair.target


@contextmanager
def replaced(model: Transformer, heads: Replacements) -> Iterator[None]:
    """Replace the outputs of some heads until the block ends.

    Raises:
        KeyError, IndexError: the model has no such head.
    """
    with ExitStack() as stack:
        for head, replacement in heads.items():
            if head.head >= model.config.num_heads:
                raise IndexError(f"there is no {head.title}")
            stack.enter_context(ablate(model, head.point("head_outputs"), [head.head], replacement))
        yield


def zeros(heads: Sequence[Head]) -> Replacements:
    """Replacements by 0; if all heads of a sub-layer are replaced, it adds only W^O's bias."""
    return dict.fromkeys(heads, 0.0)


@torch.inference_mode()
def means(checkpoint: Checkpoint, heads: Sequence[Head], pairs: Sequence[Pair]) -> Replacements:
    """Replacements by each head's mean output over the reference set ``pairs``: [d_k] each.

    The mean is over all positions without padding of all pairs; the decoder reads the true target.
    """
    config = checkpoint.config
    source = pad(
        [config.framed(checkpoint.source_vocabulary.encode(p.source)) for p in pairs],
        config.pad_id,
    )
    read = pad(
        [[config.decoder_start_id, *checkpoint.target_vocabulary.encode(p.target)] for p in pairs],
        config.pad_id,
    )
    real = {"encoder": source != config.pad_id, "decoder": read != config.pad_id}
    real["decoder"][:, 0] = True  # a decoder may start with the padding token
    real["cross"] = real["decoder"]
    with record(checkpoint.model, [head.point("head_outputs") for head in heads]) as trace:
        checkpoint.model(source, read)
    return {
        head: trace[head.point("head_outputs")][:, head.head][real[head.kind]].mean(dim=0)
        for head in heads
    }


@torch.inference_mode()
def patches(
    checkpoint: Checkpoint, heads: Sequence[Head], source: Tensor, read: Tensor, other: Tensor
) -> Replacements:
    """Replacements by the heads' outputs, at the same positions, for another input.

    Args:
        source, read: ids of the input to be changed, [1, source] and [1, target].
        other: ids of the other input, [1, source]; for it, the decoder reads the model's own
            output.

    Raises:
        UserError: an encoder head is patched from an input of another length.
    """
    lengths = source.size(1), other.size(1)
    if lengths[0] != lengths[1] and any(head.kind == "encoder" for head in heads):
        raise UserError(
            f"The other input has {lengths[1] - 1} tokens and this one {lengths[0] - 1}. An "
            "encoder head writes at every input position, so both need the same number."
        )
    model, config = checkpoint.model, checkpoint.config
    [answer] = decode(model, other, Greedy(max_length=read.size(1)))
    other_read = torch.tensor([[config.decoder_start_id, *answer.tokens[:-1]]])
    with record(model, [head.point("head_outputs") for head in heads]) as trace:
        model(other, other_read)

    def patch(taken: Tensor) -> Callable[[Tensor], Tensor]:
        def hook(value: Tensor) -> Tensor:
            """Beyond the end of the other output, the head keeps its own values."""
            both = min(value.size(2), taken.size(2))
            return torch.cat([taken[:, :, :both], value[:, :, both:]], dim=2)

        return hook

    return {
        head: patch(trace[head.point("head_outputs")][:, head.head : head.head + 1])
        for head in heads
    }


@dataclass(frozen=True)
class TokenEffect:
    """One token of the original output, and how its probability changes, given the same prefix.

    before, after: its probability without and with the replacement.
    preferred: id of the most probable token with the replacement.
    """

    token: int
    before: float
    after: float
    preferred: int


@dataclass(frozen=True)
class Effect:
    """The effect of a replacement.

    before, after: greedy output ids without and with it.
    tokens: the effect on each token of ``before``.
    """

    before: list[int]
    after: list[int]
    tokens: list[TokenEffect]


def effect(
    model: Transformer, source: Tensor, heads: Replacements, max_length: int | None = None
) -> Effect:
    """Decode one input, [1, source] ids, without and with the heads replaced."""
    # Without the cache, so that a patch applies to all positions of the output so far.
    strategy = Greedy(max_length=max_length, cached=False)
    before = list(decode(model, source, strategy)[0].tokens)
    read = torch.tensor([[model.config.decoder_start_id, *before[:-1]]])
    with torch.inference_mode():
        own = torch.softmax(model(source, read)[0], dim=-1)  # [target, vocabulary]
        with replaced(model, heads):
            after = list(decode(model, source, strategy)[0].tokens)
            changed = torch.softmax(model(source, read)[0], dim=-1)
    return Effect(
        before,
        after,
        [
            TokenEffect(
                token, own[i, token].item(), changed[i, token].item(), int(changed[i].argmax())
            )
            for i, token in enumerate(before)
        ],
    )


def exact_match(
    checkpoint: Checkpoint,
    pairs: Sequence[Pair],
    heads: Replacements,
    is_right: IsRight = equals_target,
) -> Iterator[tuple[int, int]]:
    """Decode held-out examples with heads replaced; yields (done, right) after each chunk."""
    longest = max(len(checkpoint.target_vocabulary.encode(pair.target)) for pair in pairs)
    strategy = Greedy(max_length=longest + 2)
    right = 0
    for start in range(0, len(pairs), CHUNK):
        chunk = pairs[start : start + CHUNK]
        with replaced(checkpoint.model, heads):
            answers = checkpoint.answers([pair.source for pair in chunk], strategy)
        right += sum(is_right(p, a.output) for p, a in zip(chunk, answers, strict=True))
        yield start + len(chunk), right


@dataclass(frozen=True)
class KnockOut:
    """Exact match over the examples, as shares from 0 to 1.

    whole: with all heads. without: with one head switched off, for each head.
    least: the half of the heads that matter least. without_least: with all of them switched off.
    """

    examples: int
    whole: float
    without: dict[Head, float]
    least: tuple[Head, ...]
    without_least: float

    @property
    def ranked(self) -> list[Head]:
        """The heads, those that matter most first."""
        return sorted(self.without, key=lambda head: self.without[head])


def knock_out(
    checkpoint: Checkpoint,
    pairs: Sequence[Pair],
    replacements: Callable[[Sequence[Head]], Replacements] = zeros,
    is_right: IsRight = equals_target,
) -> Iterator[float | KnockOut]:
    """Switch off each head in turn, then the less important half of the heads together.

    Yields the share done, from 0 to 1, then the result.
    """
    heads = all_heads(checkpoint.config)
    trials: list[tuple[Head, ...]] = [(), *((head,) for head in heads)]
    total = (len(trials) + 1) * len(pairs)
    found: list[float] = []

    def without_these(off: Sequence[Head]) -> Iterator[float]:
        rights = []
        for done, right in exact_match(checkpoint, pairs, replacements(off), is_right):
            yield (len(found) * len(pairs) + done) / total
            rights.append(right)
        found.append(rights[-1] / len(pairs))

    for off in trials:
        yield from without_these(off)
    without = dict(zip(heads, found[1:], strict=True))
    ranked = sorted(heads, key=lambda head: without[head])
    least = tuple(ranked[len(ranked) - len(ranked) // 2 :])
    yield from without_these(least)
    yield KnockOut(len(pairs), found[0], without, least, found[-1])

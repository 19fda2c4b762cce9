"""Training speed: our trainer's own steps against other libraries' models in the usual loop."""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import torch

from benchmarks.peers import tutorial
from benchmarks.peers.measure import Sample
from benchmarks.peers.rows import OURS, Plan, Row
from benchmarks.peers.sizes import (
    LENGTH,
    LONGEST,
    SHORTEST,
    Size,
    made_up_pairs,
    training_config,
)
from benchmarks.peers.training_peers import (
    NN,
    PEERS,
    SITES,
    Peer,
    by_tutorial,
    installed,
    usual_step,
)
from transformer.model import Transformer
from transformer.tasks.own_pairs.task import OwnPairs
from transformer.tasks.presets import prepare
from transformer.training.batches import Batch, Encoded, collate, encode, training_batches
from transformer.training.distributed import World
from transformer.training.loop import Begin, Training, Update
from transformer.training.precision import has_bf16
from transformer.vocabulary.vocabulary import PAD_ID

PART = "training"
NOT_FASTER = "not probed faster here"
PRESET = "as the presets do"
PRESET_TASKS = {"tiny": "reverse", "small": "sort"}
"""The sizes that are also presets -> a task that users train with the preset."""


@dataclass(frozen=True)
class OwnVariant:
    """A variant of our trainer, by the settings it changes."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    note: str = ""


OWN = (
    OwnVariant(
        OURS,
        {"precision": "fp32"},
        note=f"fp32; {SITES}; clips the gradient, checks that it is finite, makes its batches",
    ),
    OwnVariant(
        f"{OURS}, bf16",
        {"precision": "bf16"},
        note=f"bf16 in forward and loss, weights and Adam fp32; {SITES}",
    ),
)


def training_of(
    size: Size, task: OwnPairs, changes: dict[str, Any], device: str, **model: Any
) -> Training:
    """A training before its first update."""
    torch.manual_seed(1)
    vocabulary = len(task.source_vocabulary), len(task.target_vocabulary)
    config = size.config(source_vocab_size=vocabulary[0], target_vocab_size=vocabulary[1], **model)
    world = World(device=torch.device(device))
    network = Transformer(config).to(world.device)
    return Training(network, task, training_config(size.batch, **changes), world)


def own_variants(
    size: Size, task: OwnPairs, device: str
) -> tuple[list[OwnVariant], dict[str, str]]:
    """Our variants to measure, and the reason for each left out: bfloat16 is left out if a run's
    own trial does not choose it."""
    if not has_bf16(torch.device(device)):  # emulated, a step would take far too long
        return [OWN[0]], {OWN[1].name: NOT_FASTER}
    events = training_of(size, task, {"precision": "auto"}, device).events()
    found = next(event.compute for event in events if isinstance(event, Begin))
    if found.precision == "bf16" or not found.bf16_seconds:
        return list(OWN), {}
    trial = f"{NOT_FASTER}: {found.fp32_seconds / found.bf16_seconds:.2f} in the trial"
    return [OWN[0]], {OWN[1].name: trial}


def own_steps(
    size: Size, task: OwnPairs, changes: dict[str, Any], device: str, **model: Any
) -> Iterator[Update]:
    """The updates of a run as the trainer makes them, after its evaluation at step 0."""
    for event in training_of(size, task, changes, device, **model).events():
        if isinstance(event, Update):
            yield event


def full_batches(size: Size, task: OwnPairs, count: int, device: str) -> list[Batch]:
    """Batches of texts of equal length, on the device."""
    encoded = encode(task, task.epoch(1, 0, size.batch))
    return [
        collate(encoded[start : start + size.batch], size.config()).to(torch.device(device))
        for start in range(0, count * size.batch, size.batch)
    ]


def own_sample(updates: Iterator[Update], steps: int, worth: float) -> Sample:
    """A sample of ``steps`` updates of ours; ``worth`` is the amount of work it returns."""

    def sample() -> float:
        for _ in range(steps):
            next(updates)
        return worth

    return sample


def peer_sample(
    peer: Peer,
    size: Size,
    tokens: int,
    batches: Sequence[Batch],
    steps: int,
    worth: float,
    dtype: torch.dtype = torch.float32,
) -> Sample:
    """A sample of ``steps`` updates of a peer's model, which repeats the given batches.

    Args:
        tokens: vocabulary size. worth: the amount of work it returns.
    """
    torch.manual_seed(1)
    model, logits = peer.make(size, tokens)
    step, data = usual_step(model.to(batches[0].source.device), logits, dtype), cycle(batches)

    def sample() -> float:
        for _ in range(steps):
            batch = next(data)
            step(batch.source, batch.target_in, batch.target_out)
        return worth

    return sample


def equal_lengths(size: Size, plan: Plan) -> Row:
    """Compare on texts of equal length: without padding, only models and loops differ."""
    task = made_up_pairs(size, LENGTH, LENGTH)
    tokens = len(task.source_vocabulary)
    steps = 1 if plan.quick or size.layers > 3 else 4
    worth = float(steps * 2 * size.batch * LENGTH)
    batches = full_batches(size, task, 8, plan.device)
    variants, left_out = own_variants(size, task, plan.device)
    samples = {
        variant.name: own_sample(own_steps(size, task, variant.changes, plan.device), steps, worth)
        for variant in variants
    }
    present = {name: peer for name, peer in PEERS.items() if installed(peer.module, name)}
    samples |= {
        name: peer_sample(peer, size, tokens, batches, steps, worth)
        for name, peer in present.items()
    }
    notes = {variant.name: variant.note for variant in variants}
    notes |= {name: peer.note for name, peer in present.items()}
    found = plan.measure(samples)
    case = f"{size.batch} pairs of {LENGTH} + {LENGTH} tokens, {tokens} in the vocabulary"
    facts = {"batch": case} | left_out
    return Row(PART, "equal lengths", size.name, "token", found, notes, facts)


def variable_lengths(size: Size, plan: Plan) -> Row:
    """Compare on texts of varying length: our batches by length against the tutorial's, per
    token that is not padding."""
    task = made_up_pairs(size, SHORTEST, LONGEST)
    tokens = len(task.source_vocabulary)
    steps = 2 if plan.quick else 64 // size.layers**2  # for small models, a whole pool of batches
    encoded = encode(task, task.epoch(1, 0, size.batch))
    # The loop does not expose its batches, but they depend only on task and seed.
    same = training_batches(task, size.config(), training_config(size.batch))
    worth = [
        float((share.batch.source != PAD_ID).sum() + share.targets)
        for share in islice(same, steps * (plan.rounds + 1))
    ]

    def own(variant: OwnVariant) -> Sample:
        updates = own_steps(size, task, variant.changes, plan.device)
        left = iter(worth)

        def sample() -> float:
            done = 0.0
            for _ in range(steps):
                next(updates)
                done += next(left)
            return done

        return sample

    torch.manual_seed(1)
    model, logits = by_tutorial(size, tokens)
    step = usual_step(model.to(plan.device), logits)
    groups = cycle(
        encoded[start : start + size.batch] for start in range(0, len(encoded), size.batch)
    )

    def theirs() -> float:
        done = 0
        for _ in range(steps):
            group = next(groups)
            source, target = (side.to(plan.device).T for side in tutorial.collate(group))
            step(source, target[:, :-1], target[:, 1:])
            done += sum(map(real_tokens, group))
        return float(done)

    variants, left_out = own_variants(size, task, plan.device)
    samples: dict[str, Sample] = {variant.name: own(variant) for variant in variants}
    found = plan.measure(samples | {NN: theirs})
    notes = {variant.name: f"{variant.note}; batches by length" for variant in variants}
    notes[NN] = PEERS[NN].note.replace("made beforehand", "made as they come, padded")
    case = (
        f"{size.batch} pairs of {SHORTEST} to {LONGEST} tokens a side, {tokens} in the vocabulary"
    )
    return Row(
        PART, "lengths 4 to 32", size.name, "real token", found, notes, {"batch": case} | left_out
    )


def as_presets(size: Size, plan: Plan) -> Row:
    """Compare on what users train live: a letter task with the preset of this name, both with Adam.

    Width 64, no dropout, batches by length, remaining padding masked; both get the same batches,
    made when they are needed.
    """
    task, config = prepare(PRESET_TASKS[size.name], size.name)
    model, pairs = config.model, config.training.batch_size
    settings = training_config(pairs, label_smoothing=0.0, precision="fp32")
    steps = 4 if plan.quick else 16
    small = Size(
        size.name, model.d_model, model.num_encoder_layers, pairs, 0, num_heads=model.num_heads
    )

    def updates() -> Iterator[Update]:
        torch.manual_seed(1)
        network = Transformer(model).to(plan.device)
        world = World(device=torch.device(plan.device))
        for event in Training(network, task, settings, world).events():
            if isinstance(event, Update):
                yield event

    torch.manual_seed(1)
    theirs, logits = by_tutorial(small, model.target_vocab_size, 0.0)
    step = usual_step(theirs.to(plan.device), logits, smoothing=0.0)
    shares = training_batches(task, model, settings)

    def tutorials() -> float:
        for _ in range(steps):
            batch = next(shares).batch.to(torch.device(plan.device))
            step(batch.source, batch.target_in, batch.target_out)
        return float(steps)

    samples = {OURS: own_sample(updates(), steps, float(steps)), NN: tutorials}
    notes = {
        OURS: "fp32, Adam; clips the gradient, checks that it is finite",
        NN: "fp32, default Adam; gradient not clipped; padding masks; output not tied",
    }
    case = f"{pairs} pairs of {task.name}, {model.target_vocab_size} in the vocabulary"
    title = f"d{model.d_model} {model.num_encoder_layers}+{model.num_decoder_layers}"
    found = plan.measure(samples)
    return Row(PART, PRESET, size.name, "update", found, notes, {"batch": case, "model": title})


def real_tokens(pair: Encoded) -> int:
    """Number of source and target tokens of a pair, including both <eos>."""
    return len(pair[0]) + len(pair[1]) + 2


def measure(plan: Plan) -> Iterator[Row]:
    for size in plan.sizes:
        for what in (equal_lengths, variable_lengths, as_presets):
            if what is not as_presets or size.name in PRESET_TASKS:
                yield what(size, plan)
                gc.collect()

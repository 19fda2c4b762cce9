"""Training: our trainer's own steps against other people's models in the usual loop."""

import gc
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers import tutorial
from benchmarks.peers.measure import Sample
from benchmarks.peers.rows import OURS, Plan, Row
from benchmarks.peers.sizes import (
    DROPOUT,
    LENGTH,
    LONGEST,
    SHORTEST,
    SMOOTHING,
    Size,
    made_up_pairs,
    training_config,
)
from transformer.batches import Encoded, collate, encode, training_batches
from transformer.distributed import World
from transformer.model import Transformer
from transformer.tasks.pairs import OwnPairs
from transformer.training import Training, Update
from transformer.vocabulary import EOS_ID, PAD_ID

PART = "training"
NN = "nn.Transformer"
MARIAN, X, JOEY = "MarianMT", "x-transformers", "JoeyNMT"


@dataclass(frozen=True)
class OwnVariant:
    """One way in which our trainer can run: what it changes in the settings of a run."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    note: str = ""


SITES = "dropout where the paper has it: on sub-layers' outputs and embeddings"
OWN = (
    OwnVariant(
        OURS,
        note=f"fp32; {SITES}; clips the gradient, checks that it is finite, makes its batches",
    ),
    # Another precision, once a run can be told one, is one more line here; OURS stays fp32.
)


def own_steps(
    size: Size, task: OwnPairs, changes: dict[str, Any], device: str, **model: Any
) -> Iterator[Update]:
    """The updates of a run as the trainer makes them; its evaluation of step 0 is over."""
    torch.manual_seed(1)
    vocabulary = len(task.source_vocabulary), len(task.target_vocabulary)
    config = size.config(source_vocab_size=vocabulary[0], target_vocab_size=vocabulary[1], **model)
    world = World(device=torch.device(device))
    network = Transformer(config).to(world.device)
    settings = training_config(size.batch, **changes)
    for event in Training(network, task, settings, world).events():
        if isinstance(event, Update):
            yield event


# --- The peers' models, each as logits(source, target_in), ids [batch, position] ----------------

Logits = Callable[[Tensor, Tensor], Tensor]


def marian(size: Size, tokens: int) -> tuple[nn.Module, Logits]:
    from transformers import MarianConfig, MarianMTModel

    model = MarianMTModel(
        MarianConfig(
            vocab_size=tokens,
            d_model=size.d_model,
            encoder_layers=size.layers,
            decoder_layers=size.layers,
            encoder_attention_heads=size.num_heads,
            decoder_attention_heads=size.num_heads,
            encoder_ffn_dim=4 * size.d_model,
            decoder_ffn_dim=4 * size.d_model,
            dropout=DROPOUT,
            attention_dropout=0.0,
            activation_dropout=0.0,
            activation_function="relu",
            scale_embedding=True,
            max_position_embeddings=256,
            pad_token_id=PAD_ID,
            eos_token_id=EOS_ID,
            decoder_start_token_id=PAD_ID,
            forced_eos_token_id=EOS_ID,
        )
    )

    def logits(source: Tensor, target: Tensor) -> Tensor:
        return model(
            input_ids=source,
            attention_mask=(source != PAD_ID).long(),
            decoder_input_ids=target,
            use_cache=False,
        ).logits

    return model, logits


def x_transformers(size: Size, tokens: int) -> tuple[nn.Module, Logits]:
    from x_transformers import XTransformer

    side = {
        "num_tokens": tokens,
        "depth": size.layers,
        "heads": size.num_heads,
        "attn_dim_head": size.d_model // size.num_heads,
        "max_seq_len": 256,
        "emb_dropout": DROPOUT,
        "attn_dropout": DROPOUT,
        "ff_dropout": DROPOUT,
    }
    both = {f"{prefix}_{name}": value for prefix in ("enc", "dec") for name, value in side.items()}
    model = XTransformer(dim=size.d_model, **both)

    def logits(source: Tensor, target: Tensor) -> Tensor:
        mask = source != PAD_ID
        encoded = model.encoder(source, mask=mask, return_embeddings=True)
        return model.decoder.net(target, context=encoded, context_mask=mask)

    return model, logits


def joey(size: Size, tokens: int) -> tuple[nn.Module, Logits]:
    from joeynmt.decoders import TransformerDecoder
    from joeynmt.embeddings import Embeddings
    from joeynmt.encoders import TransformerEncoder

    common = {
        "num_layers": size.layers,
        "num_heads": size.num_heads,
        "hidden_size": size.d_model,
        "ff_size": 4 * size.d_model,
        "dropout": DROPOUT,
        "emb_dropout": DROPOUT,
    }
    parts = {
        "encoder": TransformerEncoder(**common),
        "decoder": TransformerDecoder(**common, vocab_size=tokens),
        "source": Embeddings(size.d_model, scale=True, vocab_size=tokens, padding_idx=PAD_ID),
        "target": Embeddings(size.d_model, scale=True, vocab_size=tokens, padding_idx=PAD_ID),
    }
    parts["decoder"].output_layer.weight = parts["target"].lut.weight  # its "tied_softmax"

    def logits(source: Tensor, target: Tensor) -> Tensor:
        mask = (source != PAD_ID)[:, None]
        encoded, _ = parts["encoder"](parts["source"](source), None, mask)
        return parts["decoder"](
            trg_embed=parts["target"](target),
            encoder_output=encoded,
            encoder_hidden=None,
            src_mask=mask,
            unroll_steps=None,
            hidden=None,
            trg_mask=(target != PAD_ID)[:, None],
        )[0]

    return nn.ModuleDict(parts), logits


def by_tutorial(size: Size, tokens: int) -> tuple[nn.Module, Logits]:
    model = tutorial.Seq2SeqTransformer(size, tokens)
    return model, lambda source, target: model(source.T, target.T).transpose(0, 1)


@dataclass(frozen=True)
class Peer:
    """module: what must be installed. make: from size and vocabulary to the model."""

    module: str
    make: Callable[[Size, int], tuple[nn.Module, Logits]]
    note: str


MORE_SITES = "dropout on attention weights and inside the feed-forward network too"
LOOP = "fp32; default Adam, gradient not clipped, batches made beforehand"
PEERS = {
    NN: Peer("torch", by_tutorial, f"{LOOP}; {MORE_SITES}; output not tied; final norms"),
    MARIAN: Peer("transformers", marian, f"{LOOP}; {SITES}; one embedding for all three"),
    X: Peer(
        "x_transformers",
        x_transformers,
        f"{LOOP}; dropout on embeddings, attention weights and inside the feed-forward network; "
        "pre-norm, GELU, learned positions, output not tied",
    ),
    JOEY: Peer("joeynmt.decoders", joey, f"{LOOP}; {MORE_SITES}; final norms; output tied"),
}


def installed(module: str, what: str) -> bool:
    """Whether a peer is there; says so in one line if not."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a peer may fail in any way when it meets newer packages
        print(f"{what} is left out: {type(error).__name__}: {str(error).splitlines()[0]}")
        return False
    return True


def usual_step(model: nn.Module, logits: Logits) -> Callable[[Tensor, Tensor, Tensor], float]:
    """The loop body of PyTorch's tutorial, with label smoothing; returns the loss in nats."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)
    model.train()

    def step(source: Tensor, target_in: Tensor, target_out: Tensor) -> float:
        out = logits(source, target_in)
        optimizer.zero_grad()
        loss = F.cross_entropy(
            out.reshape(-1, out.size(-1)),
            target_out.reshape(-1),
            ignore_index=PAD_ID,
            label_smoothing=SMOOTHING,
        )
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def equal_lengths(size: Size, plan: Plan) -> Row:
    """All texts equally long, so that nothing is padded: the models and the loop alone."""
    task = made_up_pairs(size, LENGTH, LENGTH)
    tokens = len(task.source_vocabulary)
    steps = 1 if plan.quick or size.layers > 3 else 4
    worth = float(steps * 2 * size.batch * LENGTH)
    encoded = encode(task, task.epoch(1, 0, size.batch))
    config = size.config()
    batches = [
        collate(encoded[start : start + size.batch], config).to(torch.device(plan.device))
        for start in range(0, 8 * size.batch, size.batch)
    ]

    def own(variant: OwnVariant) -> Sample:
        updates = own_steps(size, task, variant.changes, plan.device)

        def sample() -> float:
            for _ in range(steps):
                next(updates)
            return worth

        return sample

    def their(peer: Peer) -> Sample:
        torch.manual_seed(1)
        model, logits = peer.make(size, tokens)
        step, data = usual_step(model.to(plan.device), logits), cycle(batches)

        def sample() -> float:
            for _ in range(steps):
                batch = next(data)
                step(batch.source, batch.target_in, batch.target_out)
            return worth

        return sample

    samples = {variant.name: own(variant) for variant in OWN}
    present = {name: peer for name, peer in PEERS.items() if installed(peer.module, name)}
    samples |= {name: their(peer) for name, peer in present.items()}
    notes = {variant.name: variant.note for variant in OWN}
    notes |= {name: peer.note for name, peer in present.items()}
    found = plan.measure(samples)
    case = f"{size.batch} pairs of {LENGTH} + {LENGTH} tokens, {tokens} in the vocabulary"
    return Row(PART, "equal lengths", size.name, "token", found, notes, {"batch": case})


def variable_lengths(size: Size, plan: Plan) -> Row:
    """Lengths vary: our batches by length against the tutorial's, in real tokens."""
    task = made_up_pairs(size, SHORTEST, LONGEST)
    tokens = len(task.source_vocabulary)
    steps = 2 if plan.quick else 64 // size.layers**2  # a pool of batches where that is quick
    encoded = encode(task, task.epoch(1, 0, size.batch))
    # The loop hands out no batches, but they are a function of task and seed.
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

    samples: dict[str, Sample] = {variant.name: own(variant) for variant in OWN}
    found = plan.measure(samples | {NN: theirs})
    notes = {variant.name: f"{variant.note}; batches by length" for variant in OWN}
    notes[NN] = PEERS[NN].note.replace("made beforehand", "made as they come, padded")
    case = (
        f"{size.batch} pairs of {SHORTEST} to {LONGEST} tokens a side, {tokens} in the vocabulary"
    )
    return Row(PART, "lengths 4 to 32", size.name, "real token", found, notes, {"batch": case})


def real_tokens(pair: Encoded) -> int:
    """Source and target tokens of a pair, <eos> of both included."""
    return len(pair[0]) + len(pair[1]) + 2


def measure(plan: Plan) -> Iterator[Row]:
    for size in plan.sizes:
        for what in (equal_lengths, variable_lengths):
            yield what(size, plan)
            gc.collect()

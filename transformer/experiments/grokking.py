"""Grokking: the rule is learned long after the examples are memorised (Power et al., 2022)."""

import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from transformer.experiments.experiment import Experiment, Outcome, Settings, percent
from transformer.experiments.training import fixed_settings, learning
from transformer.model import Transformer
from transformer.tasks import Pair, Task
from transformer.tasks.presets import prepare
from transformer.training.batches import collate, encode

MODULUS = 29
DECAY = 1.0
MOST = 6000
"""Maximum number of updates; training stops when the held-out answers are known."""
EVERY = 50
"""Updates between two evaluations."""
KNOWN = 0.95
"""A set of examples counts as known from this share of right answers on."""


class Look(NamedTuple):
    """An evaluation after ``step`` updates: shares of right answers, from 0 to 1."""

    step: int
    trained: float
    held_out: float


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Train two models with the same seed, one of them without weight decay."""
    with_decay = yield from _looks(settings, 10 if settings.short else MOST, DECAY, 0)
    steps, best = with_decay[-1].step, max(look.held_out for look in with_decay)
    without = yield from _looks(settings, steps, 0.0, 0.5)
    known = next((look.step for look in with_decay if look.trained >= KNOWN), steps)
    other = without[-1].held_out
    yield Outcome(
        {
            "held out with decay, best": best,
            "held out without decay": other,
            "times as many updates": steps / known,
        },
        f"With weight decay {percent(KNOWN)} of the training examples are right after {known} "
        f"updates, and {percent(best)} of the held-out ones within {steps}. Without it, "
        f"{percent(other)} of the held-out ones are right.",
        2 if best - other > 0.3 else 0 if other > 0.8 else 1,
        {
            "trained on, with decay": _curve(with_decay, "trained"),
            "held out, with decay": _curve(with_decay, "held_out"),
            "held out, without": _curve(without, "held_out"),
        },
    )


def _looks(
    settings: Settings, steps: int, decay: float, start: float
) -> Generator[float, None, list[Look]]:
    """Train on half of all differences, with regular evaluations, until the other half is known
    too; yields the share done."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "differences.tsv"
        numbers = range(MODULUS)
        lines = [f"{a} - {b}\t{(a - b) % MODULUS}\n" for a in numbers for b in numbers]
        file.write_text("".join(lines), "utf-8")
        task, config = prepare(
            "pairs",
            "tiny",
            pairs=file,
            data={"tokens": "words", "held_out": 0.5},
            model={"num_heads": 4, "max_length": 8},
            training=fixed_settings(settings.seed, steps)
            | {"batch_size": 512, "weight_decay": decay, "optimizer": "adam"}
            | {"learning_rate": 3e-3, "warmup_steps": 10, "decay_fraction": 0.0},
        )
    model, updates = learning(task, config)
    trained, held_out, found = list(task.epoch(0, 0, 512)), task.held_out(MODULUS**2), list[Look]()
    for update in updates:
        if update.step % min(EVERY, steps) == 0:
            shares = (_right(model, task, pairs) for pairs in (trained, held_out))
            found.append(Look(update.step, *shares))
            yield start + update.step / steps / 2
            if found[-1].held_out >= KNOWN:
                break
    yield start + 0.5
    return found


@torch.inference_mode()
def _right(model: Transformer, task: Task, pairs: list[Pair]) -> float:
    """The share of right answers; each answer is a single token."""
    batch = collate(encode(task, pairs), model.config)
    written = model(batch.source, batch.target_in)[:, 0].argmax(dim=-1)
    return (written == batch.target_out[:, 0]).float().mean().item()


def _curve(looks: list[Look], name: str) -> tuple[tuple[float, float], ...]:
    return tuple((float(look.step), 100 * getattr(look, name)) for look in looks)


EXPERIMENT = Experiment(
    name="grokking",
    title="Grokking: understood long after it is known by heart",
    claim="On a small table of arithmetic a model soon knows its training examples by heart, and "
    "no held-out one. Much later, with weight decay, it finds the rule.",
    source="Power et al. 2022, Grokking: Generalization Beyond Overfitting on Small Algorithmic "
    "Datasets",
    published="training accuracy is near 100 % within 1,000 updates; held-out accuracy first "
    "rises after 100,000 and is as high near 1,000,000 (division modulo 97); weight decay more "
    "than halves the examples needed",
    what=f"Two equal models of 1 + 1 layers learn half of all differences modulo {MODULUS}, one "
    f"with a weight decay of {DECAY:g}. The other half is held out.",
    question="Both models soon know all their training examples. Which one answers the held-out "
    "ones?",
    options=("both", "neither", "only the one with weight decay"),
    bands={
        "held out with decay, best": (0.6, 1.0),
        "held out without decay": (0.0, 0.4),
        "times as many updates": (3, 100),
    },
    short_bands={"held out with decay, best": (0.0, 0.3)},
    why="The usual explanation: knowing by heart needs large weights and the rule does not, so "
    "decay shrinks the weights until the rule is cheaper. Here the rule takes tens of times as "
    "many updates, not thousands: the table is small and the decay is strong.",
    minutes=5,
    run=run,
    axes=("updates", "answers right, %"),
)

"""The head forms when the loss falls: a phase change (Olsson et al., 2022)."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from transformer.experiments.experiment import Experiment, Outcome, Settings, percent
from transformer.experiments.training import fixed_settings, learning
from transformer.hooks import record
from transformer.model import Transformer
from transformer.tasks import Pair, Task
from transformer.tasks.presets import prepare
from transformer.training.batches import collate, encode
from transformer.training.loop import evaluate_loss

EVERY = 20
"""Updates between two evaluations."""
PAIRS = 40
TOGETHER = 40
"""Two events count as simultaneous if they are at most this many updates apart."""


class Look(NamedTuple):
    """An evaluation after ``step`` updates. loss: held-out, in nats per token. head: the largest
    share of its weight that a cross-attention head puts on the mirrored letter."""

    step: int
    loss: float
    head: float


@torch.inference_mode()
def best_head(model: Transformer, task: Task, pairs: list[Pair]) -> float:
    """The largest share of its weight, over all heads, on the input letter to write next."""
    batch = collate(encode(task, pairs), model.config)
    layers = range(model.config.num_decoder_layers)
    names = [f"decoder.layers.{layer}.cross_attention.weights" for layer in layers]
    with record(model, names) as trace:
        model(batch.source, batch.target_in)
    weights = torch.cat([trace[name] for name in names], dim=1)  # [pair, head, target, source]
    shares = []
    for row, pair in enumerate(pairs):
        letters = len(pair.target)
        places = torch.arange(letters)
        shares.append(weights[row, :, places, letters - 1 - places].mean(dim=-1))
    return torch.stack(shares).mean(dim=0).max().item()


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Train one model, evaluated every few updates."""
    steps, every = (20, 5) if settings.short else (400, EVERY)
    task, config = prepare(
        "reverse",
        "small",
        data={"min_letters": 3, "max_letters": 8},
        training=fixed_settings(settings.seed, steps),
    )
    model, updates = learning(task, config)
    pairs, looks = task.held_out(PAIRS), list[Look]()
    for update in updates:
        if update.step == 1 or update.step % every == 0:
            loss = evaluate_loss(model, task, pairs, update.step).loss
            looks.append(Look(update.step, loss, best_head(model, task, pairs)))
            yield update.step / steps
    fall, rise = steepest([-look.loss for look in looks]), steepest([one.head for one in looks])
    apart = looks[rise].step - looks[fall].step
    start, end = looks[0].head, looks[-1].head
    yield Outcome(
        {"head at the start": start, "head at the end": end, "updates apart": apart},
        f"The loss falls fastest just before update {looks[fall].step}, and the best head's weight "
        f"on the mirrored letter rises fastest just before update {looks[rise].step}. This weight "
        f"is {percent(start)} at the start and {percent(end)} in the end.",
        0 if apart < -TOGETHER else 2 if apart > TOGETHER else 1,
        {
            "loss, % of the first": tuple(
                (float(look.step), 100 * look.loss / looks[0].loss) for look in looks
            ),
            "best head's weight on the mirrored letter, %": tuple(
                (float(look.step), 100 * look.head) for look in looks
            ),
        },
    )


def steepest(values: list[float]) -> int:
    """The index at which the steepest rise over three evaluations ends.

    Three, so that a single outlier does not decide. The first updates are left out: they teach how
    frequent each letter is, which needs no attention.
    """
    return max(range(4, len(values)), key=lambda at: values[at] - values[at - 3])


EXPERIMENT = Experiment(
    name="forming",
    title="The head forms when the loss falls",
    claim="A head does not learn its job little by little: it forms within a short time, and the "
    "loss falls at the same time.",
    source="Olsson et al. 2022, In-context Learning and Induction Heads",
    published="induction heads form in the part of training where the loss has a bump",
    what=f"A model learns to reverse words of 3 to 8 letters. Every {EVERY} updates its loss is "
    "measured, and the largest weight that a head puts on the mirrored letter.",
    question="When does a head learn to look at the mirrored letter?",
    options=(
        "long before the loss falls",
        "while the loss falls",
        "long after the loss has fallen",
    ),
    bands={
        "head at the start": (0.12, 0.28),
        "head at the end": (0.65, 0.95),
        "updates apart": (-TOGETHER, TOGETHER),
    },
    short_bands={"head at the start": (0.1, 0.35)},
    why="Both are one event: to write the right letter, the model has to look at it. The time "
    "slider of any run on the Train page shows the same, map by map.",
    minutes=0.7,
    run=run,
    axes=("updates", "%"),
)

"""Post-norm needs a warm-up, pre-norm does not (Xiong et al., 2020): four short trainings."""

from collections.abc import Iterator

from transformer.experiments.experiment import Experiment, Outcome, Settings, percent
from transformer.experiments.training import LETTERS, Trained, scaled_progress, train

LAYERS = 4
STEPS, EVERY = 200, 20
"""Number of updates, and number of updates over which each point of a curve is averaged."""
RATE, WARMUP = 3e-3, 100
BEHIND = 1.5
"""A model falls behind if its loss is at least this many times that of its copy with warm-up."""


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Train four models with one seed: post-norm and pre-norm, each without and with warm-up."""
    steps, every = (4, 2) if settings.short else (STEPS, EVERY)
    found: dict[str, Trained] = {}
    for name, norm_first in (("post-norm", False), ("pre-norm", True)):
        for warmup in (0, WARMUP):
            done = len(found) / 4
            curve = f"{name}, warm-up" if warmup else f"{name}, no warm-up"
            found[curve] = yield from scaled_progress(
                train(
                    "sort",
                    steps,
                    settings,
                    data=LETTERS,
                    model={
                        "num_encoder_layers": LAYERS,
                        "num_decoder_layers": LAYERS,
                        "norm_first": norm_first,
                        "final_norm": norm_first,
                    },
                    training={"optimizer": "adam", "learning_rate": RATE, "decay_fraction": 0.0}
                    | {"warmup_steps": warmup},
                ),
                done,
                done + 0.25,
            )
    post, pre = (
        found[f"{name}, no warm-up"].loss / found[f"{name}, warm-up"].loss
        for name in ("post-norm", "pre-norm")
    )
    listed = "; ".join(
        f"{name} {one.loss:.2f} ({percent(one.tokens)} of letters right)"
        for name, one in found.items()
    )
    yield Outcome(
        {
            "post-norm, times the loss": post,
            "pre-norm, times the loss": pre,
            "letters, post-norm without": found["post-norm, no warm-up"].tokens,
            "letters, pre-norm without": found["pre-norm, no warm-up"].tokens,
        },
        f"Held-out loss (nats per token) after {steps} updates: {listed}. Without a warm-up it is "
        f"{post:.1f} times as high as with one in post-norm, and {pre:.1f} times in pre-norm.",
        (1 if pre < BEHIND else 2) if post >= BEHIND else (0 if pre < BEHIND else 3),
        {name: _means(one.losses, every) for name, one in found.items()},
    )


def _means(losses: tuple[float, ...], every: int) -> tuple[tuple[float, float], ...]:
    """The mean loss of every ``every`` updates, as points (last of these updates, mean)."""
    ends = range(every, len(losses) + 1, every)
    return tuple((float(end), sum(losses[end - every : end]) / every) for end in ends)


EXPERIMENT = Experiment(
    name="warmup",
    title="Post-norm needs a warm-up, pre-norm does not",
    claim="With the norm after each sub-layer, as in the paper, training at a high rate fails or "
    "is slow unless the rate rises slowly at first. With the norm before it, no warm-up is needed.",
    source="Xiong et al. 2020, On Layer Normalization in the Transformer Architecture, sections "
    "3.2 and 4; the warm-up itself: Vaswani et al. 2017, section 5.3",
    published="post-norm: BLEU 8.45 without a warm-up, around 34 with it (IWSLT14 German-English, "
    "Adam); pre-norm without a warm-up: comparable",
    what=f"Four models of {LAYERS} + {LAYERS} layers learn to sort up to 8 letters, {STEPS} "
    f"updates each at a constant learning rate of {RATE:g}. Two of them reach it over {WARMUP} "
    "updates.",
    question="The rate is high from the first update. Which one falls behind its copy with a "
    "warm-up?",
    options=("neither", "only post-norm", "both", "only pre-norm"),
    bands={
        "post-norm, times the loss": (1.5, 10.0),
        "pre-norm, times the loss": (0.4, 1.5),
        "letters, post-norm without": (0.2, 0.7),
        "letters, pre-norm without": (0.85, 1.0),
    },
    short_bands={"pre-norm, times the loss": (0.7, 0.97)},  # with warm-up, 4 updates do little
    why="The size of Adam's first updates is the learning rate alone, and in post-norm they "
    "follow large gradients near the output (see “Post-norm has large gradients at the start”). "
    "The rate here is high on purpose: with a lower one the copies end closer together.",
    minutes=3,
    run=run,
    axes=("updates", "training loss (nats per token)"),
)

"""Label smoothing: a worse perplexity, and better answers? (Vaswani et al., section 5.4)"""

import math
from collections.abc import Iterator

from transformer.experiments.experiment import Experiment, Outcome, Settings, percent
from transformer.experiments.training import LETTERS, scaled_progress, train

SMOOTHING = 0.1
CHANCE = 0.03
"""Differences up to this between two shares of 300 words may be chance: two standard errors."""


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Train two models with the same seed, one of them on smoothed targets."""
    steps = 12 if settings.short else 300
    plain = yield from scaled_progress(train("sort", steps, settings, data=LETTERS), 0, 0.5)
    smoothed = yield from scaled_progress(
        train("sort", steps, settings, data=LETTERS, training={"label_smoothing": SMOOTHING}),
        *(0.5, 1),
    )
    sharp, soft = math.exp(plain.loss), math.exp(smoothed.loss)
    gain = smoothed.exact - plain.exact
    yield Outcome(
        {
            "perplexity, times as high": soft / sharp,
            "more outputs right": gain,
            "exact without": plain.exact,
            "exact with": smoothed.exact,
        },
        f"After {steps} updates the held-out perplexity is {sharp:.3f} without smoothing and "
        f"{soft:.3f} with it; {percent(plain.exact, 1)} and {percent(smoothed.exact, 1)} of the "
        "words are sorted correctly.",
        0 if soft < sharp else 2 if gain > CHANCE else 1,
    )


EXPERIMENT = Experiment(
    name="smoothing",
    title="Label smoothing: less sure, and better?",
    claim="Label smoothing hurts perplexity, as the model learns to be more unsure, but improves "
    "accuracy and BLEU.",
    source="Vaswani et al. 2017, section 5.4 and table 3, row D",
    published="perplexity 4.67 and BLEU 25.3 without smoothing, 4.92 and 25.8 with 0.1",
    what=f"Two models learn to sort up to 8 letters, 300 updates each, one with {SMOOTHING:g} of "
    "the target spread over all letters.",
    question="What does smoothing change here?",
    options=(
        "perplexity falls",
        "perplexity rises, equally many words are right",
        "perplexity rises, more words are right",
    ),
    bands={
        "perplexity, times as high": (1.05, 1.2),
        "more outputs right": (-0.05, 0.05),
        "exact without": (0.93, 1.0),
        "exact with": (0.9, 1.0),
    },
    short_bands={"exact without": (0.0, 0.3)},
    holds={"perplexity, times as high": (1.02, 2.0), "more outputs right": (CHANCE, 1.0)},
    why="Half of it holds: the model learns to keep a tenth of the probability for other letters, "
    "so its perplexity rises. Its answers do not get better: over five seeds it was from three "
    "words in a hundred fewer to two more, which is chance. Each word has one right order, and "
    "nearly all are right already; in translation many words can be right, so it helps not to be "
    "too sure.",
    minutes=1,
    run=run,
)

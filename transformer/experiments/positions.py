"""No positions: attention sees a bag of tokens (section 3.5)."""

from collections.abc import Iterator

from transformer.experiments.experiment import Experiment, Outcome, Settings, percent
from transformer.experiments.training import LETTERS, scaled_progress, train


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Train two models with the same seed, one of them without positions."""
    steps = 12 if settings.short else 500
    whole = yield from scaled_progress(train("reverse", steps, settings, data=LETTERS), 0, 0.5)
    without = yield from scaled_progress(
        train("reverse", steps, settings, data=LETTERS, fault="no-positions"), 0.5, 1
    )
    yield Outcome(
        {
            "exact with positions": whole.exact,
            "exact without": without.exact,
            "tokens without": without.tokens,
        },
        f"After {steps} updates {percent(whole.exact)} of words are reversed correctly with "
        f"positions, {percent(without.exact)} without. Without positions {percent(without.tokens)} "
        "of letters are right, given the true letters before.",
        0 if without.exact > 0.8 else 1 if without.exact > 0.2 else 2,
    )


EXPERIMENT = Experiment(
    name="positions",
    title="Without positions there is no order",
    claim="Without recurrence or convolution, only the positional encoding lets the model use the "
    "order of the sequence. (Decoder-only models need none: their causal mask shows the order.)",
    source="Vaswani et al. 2017, section 3.5; for decoder-only models Haviv et al. 2022 and "
    "Kazemnejad et al. 2023",
    published="no number for this model; decoder-only language models do nearly as well without "
    "positions",
    what="Two models learn to reverse words of up to 8 letters, 500 updates each; one has no "
    "positions in either stack.",
    question="How many words does the model without positions reverse?",
    options=("nearly all: the causal mask tells it the order", "about half", "almost none"),
    bands={
        "exact with positions": (0.9, 1.0),
        "exact without": (0.0, 0.15),
        "tokens without": (0.3, 0.75),
    },
    short_bands={"exact without": (0.0, 0.15)},
    why="The encoder has no causal mask: each letter's vector is the same whatever the order of "
    "the word. The decoder knows only how many letters it wrote and which are left.",
    minutes=1,
    run=run,
)

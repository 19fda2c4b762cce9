"""A leak looks like success: a decoder without its causal mask."""

from collections.abc import Iterator

from transformer.experiments.experiment import Experiment, Outcome, Settings, percent
from transformer.experiments.training import LETTERS, scaled_progress, train


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Train two models with the same seed, one of them without the causal mask."""
    steps = 12 if settings.short else 500
    whole = yield from scaled_progress(train("reverse", steps, settings, data=LETTERS), 0, 0.5)
    leaky = yield from scaled_progress(
        train("reverse", steps, settings, data=LETTERS, fault="no-causal-mask"), 0.5, 1
    )
    yield Outcome(
        {
            "loss with the mask": whole.loss,
            "loss without": leaky.loss,
            "lower without, by": whole.loss - leaky.loss,
            "exact with the mask": whole.exact,
            "exact without": leaky.exact,
        },
        f"After {steps} updates the held-out loss is {leaky.loss:.3f} nats per token without the "
        f"mask and {whole.loss:.3f} with it. When the models write by themselves, "
        f"{percent(leaky.exact)} and {percent(whole.exact)} of the outputs are right.",
        0 if leaky.exact > 0.8 else 1 if leaky.exact > 0.2 else 2,
    )


EXPERIMENT = Experiment(
    name="leak",
    title="A leak looks like success",
    claim="Without the causal mask the loss is too low, and the model writes nonsense.",
    source="reported again and again: jadore801120/attention-is-all-you-need-pytorch#19, "
    "huggingface/transformers#48745",
    published="98 % accuracy on held-out sentences after 10 epochs, but the translations are "
    "nonsense",
    what="Two models learn to reverse words of up to 8 letters, 500 updates each; one has no "
    "causal mask in its decoder.",
    question="The model without the mask reaches a lower loss. How many words does it reverse "
    "correctly when it writes by itself?",
    options=("nearly all", "about half", "almost none"),
    bands={
        "loss with the mask": (0.0, 0.2),
        "loss without": (0.0, 0.1),
        "exact with the mask": (0.9, 1.0),
        "exact without": (0.0, 0.1),
    },
    short_bands={"exact without": (0.0, 0.1)},
    why="In training each position saw the token that it should predict, and learned to copy it. "
    "When the model writes by itself, that token is not there. Never trust a loss alone: let the "
    "model write.",
    minutes=1,
    run=run,
)

"""Attention is not explanation, and it is (Jain and Wallace, 2019; Wiegreffe and Pinter, 2019)."""

from collections.abc import Iterator

from transformer.analysis.permutation import changed_on
from transformer.experiments.bundled import examples, load
from transformer.experiments.experiment import Experiment, Outcome, Settings, percent

MODELS = ("reverse", "addition-plain", "pronunciation", "sort")

BROKEN = 0.2
"""Share of changed tokens above which a model counts as broken."""


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Permute each cross-attention head's weights at random, and count the tokens that change."""
    count, times = (16, 2) if settings.short else (60, 5)
    ranges = {}
    for number, name in enumerate(MODELS):
        checkpoint = load(name)
        texts = [pair.source for pair in examples(checkpoint, count, settings.seed)]
        for step in changed_on(checkpoint, texts, settings.seed, times):
            if isinstance(step, dict):
                ranges[name] = min(step.values()), max(step.values())
            else:
                yield (number + step) / len(MODELS)
    listed = ", ".join(
        f"{name} {percent(low, 1)} to {percent(high, 1)}" for name, (low, high) in ranges.items()
    )
    broken = [name for name in ("reverse", "sort") if ranges[name][1] > BROKEN]
    yield Outcome(
        {f"{name}, most": high for name, (_, high) in ranges.items()},
        f"Share of tokens that change, from the least to the most important head: {listed}.",
        0 if "sort" in broken else 2 if broken else 1,
    )


EXPERIMENT = Experiment(
    name="explanation",
    title="Attention is not explanation, and it is",
    claim="Attention weights can be moved to other places without changing the output, so they do "
    "not explain it.",
    source="Jain and Wallace 2019, Attention is not Explanation; answered by Wiegreffe and Pinter "
    "2019, Attention is not not Explanation",
    published="no single number; in many recurrent text classifiers the output hardly changes "
    "when weights are shuffled, even where a few words had most of the weight",
    what="In four bundled models, the weights of one cross-attention head at a time are shuffled "
    "over the input.",
    question="The maps of “reverse” and of “sort” both look clear. Which model breaks when one "
    "head's weights are shuffled?",
    options=("both", "neither", "only reverse"),
    bands={
        "reverse, most": (0.2, 0.6),
        "addition-plain, most": (0.02, 0.3),
        "pronunciation, most": (0.0, 0.15),
        "sort, most": (0.0, 0.1),
    },
    why="Both papers are right, but about different models: in “reverse” the output depends on "
    "where a single head looks, in “sort” other heads make up for it. A clear map alone does not "
    "tell which case it is.",
    minutes=0.5,
    run=run,
)

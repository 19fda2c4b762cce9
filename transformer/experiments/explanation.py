"""Attention is not explanation, and it is (Jain and Wallace, 2019; Wiegreffe and Pinter, 2019)."""

from collections.abc import Iterator

from transformer.analysis.heads import all_heads
from transformer.analysis.permutation import changed_by_permuting
from transformer.decoding.steps import pad
from transformer.experiments.bundled import examples, load
from transformer.experiments.experiment import Experiment, Outcome, Settings, percent

MODELS = ("reverse", "addition-plain", "pronunciation", "sort")

BROKEN = 0.2
"""Share of tokens that change, from which a model is called broken."""


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Put each cross-attention head's weights at random places, and count what changes."""
    count, times = (16, 2) if settings.short else (60, 5)
    ranges = {}
    for number, name in enumerate(MODELS):
        checkpoint = load(name)
        config, texts = checkpoint.config, examples(checkpoint, count, settings.seed)
        answers = checkpoint.answers([pair.source for pair in texts])
        written = [
            [*checkpoint.target_vocabulary.encode(one.output), config.eos_id] for one in answers
        ]
        changed = changed_by_permuting(
            checkpoint.model,
            pad([checkpoint.source_ids(pair.source) for pair in texts], config.pad_id),
            pad([[config.decoder_start_id, *row[:-1]] for row in written], config.pad_id),
            pad(written, config.pad_id),
            [head for head in all_heads(config) if head.kind == "cross"],
            settings.seed,
            times,
        ).values()
        ranges[name] = min(changed), max(changed)
        yield (number + 1) / len(MODELS)
    listed = ", ".join(
        f"{name} {percent(low, 1)} to {percent(high, 1)}" for name, (low, high) in ranges.items()
    )
    broken = [name for name in ("reverse", "sort") if ranges[name][1] > BROKEN]
    yield Outcome(
        {f"{name}, most": high for name, (_, high) in ranges.items()},
        f"Tokens that change, from the least to the most important head: {listed}.",
        0 if "sort" in broken else 2 if broken else 1,
    )


EXPERIMENT = Experiment(
    name="explanation",
    title="Attention is not explanation, and it is",
    claim="Attention weights can be put at other places without changing the output, so that they "
    "do not explain it.",
    source="Jain and Wallace 2019, Attention is not Explanation; answered by Wiegreffe and Pinter "
    "2019, Attention is not not Explanation",
    published="on many data sets the median change of the output is close to 0",
    what="One head of cross-attention at a time gets its weights in a random order over the input, "
    "in four bundled models.",
    question="Maps of “reverse” and of “sort” both look clear. Which model breaks when one head's "
    "weights are shuffled?",
    options=("both", "neither", "only reverse"),
    bands={
        "reverse, most": (0.2, 0.6),
        "addition-plain, most": (0.02, 0.3),
        "pronunciation, most": (0.0, 0.15),
        "sort, most": (0.0, 0.1),
    },
    why="Both are right, each about another model: in “reverse” the output hangs on where a single "
    "head looks, in “sort” others make up for it. A clear map alone does not say which it is.",
    minutes=0.5,
    run=run,
)

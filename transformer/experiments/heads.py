"""Most heads can be removed, if there are many (Voita et al., 2019; Michel et al., 2019)."""

from collections.abc import Iterator

from transformer.analysis.pruning import Pruning, prune
from transformer.experiments.bundled import examples, load
from transformer.experiments.experiment import Experiment, Outcome, Settings, percent

MODELS = {"pronunciation": 24, "reverse": 6}
"""Bundled models, and their number of heads."""
TOLERANCE = 0.05
"""Largest loss of accuracy, in total, at which heads count as removable: 5 answers in 100."""


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Remove heads greedily, chosen on one half of the examples and scored on the other."""
    half, most = (24, 3) if settings.short else (192, None)
    found: dict[str, Pruning] = {}
    for number, name in enumerate(MODELS):
        checkpoint = load(name)
        pairs = examples(checkpoint, 2 * half, settings.seed)
        for step in prune(checkpoint, pairs[::2], pairs[1::2], most):
            if isinstance(step, Pruning):
                found[name] = step
            else:
                yield (number + step) / len(MODELS)
    many, few = found["pronunciation"], found["reverse"]
    free = many.can_go(TOLERANCE)
    drop = few.scored[0] - few.scored[1]
    yield Outcome(
        {"heads that can go": free, "lost with the first of 6": drop},
        f"Pronunciation, 24 heads: {percent(many.scored[0])} of words right with all of them; "
        f"{free} can go before more than {100 * TOLERANCE:.0f} percentage points are lost on words "
        f"not used to choose them. Reverse, 6 heads: {percent(few.scored[0])} with all, "
        f"{percent(few.scored[1])} without the one that matters least.",
        2 if free < 1 else 0 if drop <= TOLERANCE else 1,
        {
            f"{name} ({MODELS[name]} heads)": tuple(
                (float(gone), 100 * share) for gone, share in enumerate(pruning.scored)
            )
            for name, pruning in found.items()
        },
    )


EXPERIMENT = Experiment(
    name="heads",
    title="Most heads can go, if there are many",
    claim="A few heads do the work; most of the others can be switched off.",
    source="Voita et al. 2019, Analyzing Multi-Head Self-Attention; Michel et al. 2019, Are "
    "Sixteen Heads Really Better than One?",
    published="38 of 48 encoder heads removed at a cost of 0.15 BLEU (English-Russian, WMT)",
    what="Heads are switched off one by one. Half of the examples chooses the head that matters "
    "least, the other half gives the score. The models are not trained again.",
    question="One model has 24 heads, another has 6. Which can lose a head and stay as good?",
    options=("both", "only the one with 24", "neither"),
    bands={"heads that can go": (2, 12), "lost with the first of 6": (0.2, 1.0)},
    holds={"heads that can go": (12, 24)},
    why="With 24 heads some can go without more training; Voita et al. trained on, so most heads "
    "could go. With 6 heads the model needs each one.",
    minutes=3,
    run=run,
    axes=("heads switched off", "answers right, % (given the true tokens)"),
)

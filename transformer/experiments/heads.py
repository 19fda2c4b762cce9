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
        f"{free} can go before more than {percent(TOLERANCE)} is lost on words that did not choose "
        f"them. Reverse, 6 heads: {percent(few.scored[0])}, and {percent(few.scored[1])} without "
        "the one that it needs least.",
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
    published="38 of 48 encoder heads removed for 0.15 BLEU (English-Russian, WMT)",
    what="Heads are switched off one by one, each time the one that is missed least on one half of "
    "the examples; the other half is the score. Nothing is trained again.",
    question="A model with 24 heads and one with 6: in which can the first head go unnoticed?",
    options=("in both", "only in the one with 24", "in neither"),
    bands={"heads that can go": (2, 12), "lost with the first of 6": (0.2, 1.0)},
    holds={"heads that can go": (12, 24)},
    why="With 24 heads some can go without training again; Voita trained on, and so lost most of "
    "them. With 6 heads each is needed: there is nothing spare.",
    minutes=3,
    run=run,
    axes=("heads switched off", "answers right, % (given the true tokens)"),
)

"""SCAN: a model that learned commands may fail on new combinations (Lake and Baroni, 2018)."""

from collections.abc import Iterator

from transformer.experiments.bundled import exact_match, examples, load
from transformer.experiments.experiment import Experiment, Outcome, Settings, percent

SPLITS = {
    "scan-simple": "random ones",
    "scan-length": "those with longer answers",
    "scan-add-jump": "those with “jump” (learned only alone)",
}


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Exact match of the three bundled models on the published test sets."""
    count = 20 if settings.short else 300
    found = {}
    for number, name in enumerate(SPLITS):
        checkpoint = load(name)
        found[name] = exact_match(checkpoint, examples(checkpoint, count, settings.seed))
        yield (number + 1) / len(SPLITS)
    said = ", ".join(f"{SPLITS[name]} {percent(share, 1)}" for name, share in found.items())
    jump = found["scan-add-jump"]
    option = 0 if jump > 0.8 else 1 if jump > 0.2 else 2
    yield Outcome(
        found, f"Commands answered correctly: {said}. {count} test commands each.", option
    )


EXPERIMENT = Experiment(
    name="scan",
    title="Learned is not composed: SCAN",
    claim="Networks answer new random commands, but fail on longer ones and on a word that they "
    "know but never saw in combination.",
    source="Lake and Baroni 2018, Generalization without Systematicity",
    published="an LSTM: simple 99.8 %, length 13.8 %, add-jump 0.08 % (best of the other "
    "recurrent networks: length 20.8 %, add-jump 1.2 %)",
    what="The three bundled SCAN models, trained with one recipe, on the published test sets.",
    question="It answers 99 in 100 random commands. How many with “jump”, if it learned “jump” "
    "only alone?",
    options=("about as many", "about half", "almost none"),
    bands={
        "scan-simple": (0.93, 1.0),
        "scan-length": (0.0, 0.1),
        "scan-add-jump": (0.0, 0.1),
    },
    why="The model learned sequences, not the rule: an answer of 24 actions is longer than any in "
    "its training, and “jump twice” was never among its examples.",
    minutes=0.5,
    run=run,
)

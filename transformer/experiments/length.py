"""Inputs longer than in training, by kind of positions (section 3.5; Kazemnejad et al., 2023)."""

from collections.abc import Iterator
from random import Random
from string import ascii_lowercase

from transformer.experiments.experiment import Experiment, Outcome, Settings
from transformer.experiments.training import Trained, scaled_progress, train
from transformer.tasks import Pair
from transformer.training.loop import evaluate_outputs

LAYOUTS = {"sinusoids": "interleaved", "learned table": "learned", "no positions": "none"}
STEPS = 400
TRAINED = 8
LENGTHS = (2, 4, 6, 8, 9, 10, 12, 14, 16)
WORDS = 100
"""Number of test words of each length."""


def share_right(found: Trained, words: list[str]) -> float:
    """The share of words that the model sorts right, from 0 to 1."""
    pairs = [Pair(word, "".join(sorted(word))) for word in words]
    return evaluate_outputs(found.model, found.task, pairs, STEPS).exact_match


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Train one model per kind of positions, on the same words; test with words of every length."""
    steps, count = (6, 2) if settings.short else (STEPS, WORDS)
    random = Random(settings.seed)
    words = {
        length: ["".join(random.choices(ascii_lowercase, k=length)) for _ in range(count)]
        for length in ((TRAINED, 2 * TRAINED) if settings.short else LENGTHS)
    }
    curves = {}
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        training = train(
            "sort",
            steps,
            settings,
            data={"min_letters": 1, "max_letters": TRAINED},
            model={"position_layout": layout},
        )
        found = yield from scaled_progress(
            training, number / len(LAYOUTS), (number + 1) / len(LAYOUTS)
        )
        curves[name] = tuple(
            (float(length), 100 * share_right(found, some)) for length, some in words.items()
        )
    measured = {
        f"{name}, {length} letters": dict(points)[length] / 100
        for name, points in curves.items()
        for length in (TRAINED, 2 * TRAINED)
    }
    far = {name: points[-1][1] for name, points in curves.items()}
    best = max(far, key=lambda name: far[name])
    listed = "; ".join(
        f"{name} {dict(points)[TRAINED]:.0f} % and {far[name]:.0f} %"
        for name, points in curves.items()
    )
    yield Outcome(
        measured,
        f"Words sorted correctly, with {TRAINED} letters (the longest in training) and with "
        f"{2 * TRAINED}: {listed}.",
        3 if far[best] < 10 else list(LAYOUTS).index(best),
        curves,
    )


EXPERIMENT = Experiment(
    name="length",
    title="Longer than trained",
    claim="Sinusoids were chosen because they may let a model extrapolate to longer sequences. In "
    "experiments they do not, and a decoder without positions does better.",
    source="hoped for by Vaswani et al. 2017, section 3.5; tested with decoder-only models by "
    "Kazemnejad et al. 2023, The Impact of Positional Encoding on Length Generalization",
    published="sinusoids are “not well suited” to lengths beyond training; no positions "
    "“outperforms other explicit positional encoding methods” (trained up to 20, tested up to 40)",
    what=f"Three models learn to sort words of up to {TRAINED} letters, {STEPS} updates each: "
    f"with sinusoids, a learned table, no positions. They are tested up to {2 * TRAINED} letters. "
    "The table has rows for these positions, but they were never trained.",
    question=f"All three sort words of {TRAINED} letters. Which sorts the most of {2 * TRAINED}?",
    options=("sinusoids", "a learned table", "no positions at all", "none: each sorts under 10 %"),
    bands={
        "sinusoids, 8 letters": (0.9, 1.0),
        "sinusoids, 16 letters": (0.0, 0.05),
        "learned table, 8 letters": (0.9, 1.0),
        "learned table, 16 letters": (0.0, 0.1),
        "no positions, 8 letters": (0.9, 1.0),
        "no positions, 16 letters": (0.1, 0.9),
    },
    short_bands={
        "sinusoids, 16 letters": (0.0, 0.05),
        "learned table, 16 letters": (0.0, 0.05),
    },
    why="In training the model never saw what is added at position 12: a new sinusoid, or a row "
    "of the table that is still random. Sorting does not need the order of the input, so for a "
    "model without positions only the number of letters is new. Reversing needs the order, and "
    "such a model hardly learns it (see “Without positions there is no order”).",
    minutes=1.5,
    run=run,
    axes=("letters of the input", "words sorted right (%)"),
)

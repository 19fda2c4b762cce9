"""Longer than trained: accuracy against length (Vaswani et al., 3.5; Kazemnejad et al., 2023)."""

from collections.abc import Iterator
from random import Random
from string import ascii_lowercase

from transformer.experiments.bundled import exact_match, load
from transformer.experiments.experiment import Experiment, Outcome, Settings
from transformer.tasks import Pair, right_answer

TASKS = ("reverse", "sort")
TRAINED = 12
LENGTHS = (4, 8, 12, 13, 14, 16, 20)


def run(settings: Settings) -> Iterator[float | Outcome]:
    """Random words of each length, to the two bundled models of letters."""
    count = 20 if settings.short else 200
    lengths = (8, 20) if settings.short else LENGTHS
    random = Random(settings.seed)
    curves = {}
    for number, name in enumerate(TASKS):
        checkpoint, points = load(name), list[tuple[float, float]]()
        data = checkpoint.header.data
        for done, length in enumerate(lengths):
            texts = ["".join(random.choices(ascii_lowercase, k=length)) for _ in range(count)]
            pairs = [Pair(text, right_answer(data, text) or "") for text in texts]
            points.append((float(length), 100 * exact_match(checkpoint, pairs)))
            yield (number + (done + 1) / len(lengths)) / len(TASKS)
        curves[name] = tuple(points)
    measured = {
        f"{name}, {length} letters": dict(points)[length] / 100
        for name, points in curves.items()
        for length in (8, 20)
    }
    far = measured["reverse, 20 letters"]
    option = 0 if far > 0.8 else 1 if far > 0.2 else 2
    listed = "; ".join(
        f"{name}: {dict(points)[8.0]:.0f} % right at 8 letters, {dict(points)[20.0]:.0f} % at 20"
        for name, points in curves.items()
    )
    yield Outcome(measured, f"{listed}. Training had at most {TRAINED}.", option, curves)


EXPERIMENT = Experiment(
    name="length",
    title="Longer than trained",
    claim="Sinusoids were chosen since they may let a model extrapolate to longer sequences; in "
    "experiments they do not.",
    source="hoped for by Vaswani et al. 2017, section 3.5; tried with decoders alone by Kazemnejad "
    "et al. 2023, The Impact of Positional Encoding on Length Generalization",
    published="sinusoids are “not well suited” to lengths that were not trained (trained up to 20, "
    "tested up to 40)",
    what="Random words of 4 to 20 letters, to the bundled models that reverse and sort; both "
    f"learned from at most {TRAINED}.",
    question="The model reverses every word of up to 12 letters. What about words of 20?",
    options=("nearly all right", "about half right", "none right"),
    bands={
        "reverse, 8 letters": (0.95, 1.0),
        "reverse, 20 letters": (0.0, 0.05),
        "sort, 8 letters": (0.95, 1.0),
        "sort, 20 letters": (0.0, 0.05),
    },
    why="The formula has a value for every position, and the weights that read it were never asked "
    "about these: what is computed for position 15 was learned nowhere.",
    minutes=0.3,
    run=run,
    axes=("letters of the input", "answers right, %"),
)

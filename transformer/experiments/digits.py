"""Digits written backwards are learned first (Lee et al., 2023)."""

from collections.abc import Iterator

from transformer.experiments.experiment import Experiment, Outcome, Settings, percent
from transformer.experiments.training import train, within


def run(settings: Settings) -> Iterator[float | Outcome]:
    """The same sums, the answer written from the ones or from the front."""
    steps = 12 if settings.short else 800
    backwards = yield from within(train("addition-reversed", steps, settings), 0, 0.5)
    plain = yield from within(train("addition", steps, settings), 0.5, 1)
    yield Outcome(
        {
            "exact backwards": backwards.exact,
            "exact plain": plain.exact,
            "gain": backwards.exact - plain.exact,
        },
        f"After {steps} updates {percent(backwards.exact)} of sums are right when the ones come "
        f"first, {percent(plain.exact)} when they come last.",
        2
        if backwards.exact - plain.exact > 0.1
        else 0
        if plain.exact - backwards.exact > 0.1
        else 1,
    )


EXPERIMENT = Experiment(
    name="digits",
    title="Digits written backwards are learned first",
    claim="Addition is learned from fewer examples when the answer is written from the ones on, as "
    "people do it by hand.",
    source="Lee et al. 2023, Teaching Arithmetic to Small Transformers",
    published="reversed: 100 % with about 2,500 examples; plain: about 85 %, and it stays there",
    what="Sums of up to 3 digits, 800 updates for each way to write the answer.",
    question="After the same number of updates, which model adds better?",
    options=("the one that writes as usual", "both alike", "the one that writes backwards"),
    bands={"exact backwards": (0.3, 1.0), "gain": (0.1, 1.0)},
    short_bands={"exact plain": (0.0, 0.5)},
    why="From the ones on, each digit needs two digits and a carry that is already there. From the "
    "front, the first digit needs the carries of all the others. Trained on, both end at 100 %.",
    minutes=3,
    run=run,
)

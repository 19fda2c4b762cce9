"""What an experiment is: a published claim, how it is run again here, and when it has come out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Band = tuple[float, float]
"""The least and the greatest that a measured number may be, both included."""


def percent(share: float, digits: int = 0) -> str:
    """A share of 1 for a sentence: 67 %."""
    return f"{100 * share:.{digits}f} %"


@dataclass(frozen=True)
class Settings:
    """How an experiment is run.

    seed: of all that is drawn. short: in seconds, on few examples, for the tests.
    """

    seed: int = 0
    short: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came out.

    measured: numbers by name, as the bands name them.
    said: the sentence that stands beside the published number.
    option: which of the experiment's options came true, from 0.
    curves: name -> points, for a figure; empty where there is none.
    """

    measured: Mapping[str, float]
    said: str
    option: int
    curves: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


Run = Callable[[Settings], Iterator[float | Outcome]]
"""Yields the share that is done, from 0 to 1, and last the outcome."""


@dataclass(frozen=True)
class Experiment:
    """A published finding, run again.

    name: kebab-case, in addresses and commands. title: the finding in a few words.
    claim: in a sentence. source: who found it, where.
    published: their number, in words. what: what is run here.
    question, options: what a person predicts before it is run.
    bands: what each measured number may be; outside of them it has come out otherwise than known.
    short_bands: of the short form, where it is too short for the others; None is the same.
    holds: where the published claim holds; None is where the bands are.
    why: what to make of it, whether it was reproduced or not.
    minutes: how long the full form takes on one busy core, about.
    axes: titles of the figure's axes, with units; empty where there is no figure.
    """

    name: str
    title: str
    claim: str
    source: str
    published: str
    what: str
    question: str
    options: tuple[str, ...]
    bands: Mapping[str, Band]
    why: str
    minutes: float
    run: Run
    axes: tuple[str, str] = ("", "")
    short_bands: Mapping[str, Band] | None = None
    holds: Mapping[str, Band] | None = None

    def outside(self, outcome: Outcome, *, short: bool = False) -> list[str]:
        """The measured numbers that are out of their bands, in words."""
        bands = self.short_bands if short and self.short_bands is not None else self.bands
        return _outside(bands, outcome)

    def reproduced(self, outcome: Outcome) -> bool:
        """Whether the published claim came out here."""
        return not _outside(self.bands if self.holds is None else self.holds, outcome)


def _outside(bands: Mapping[str, Band], outcome: Outcome) -> list[str]:
    return [
        f"{name} is {outcome.measured[name]:.4g}, not from {low:g} to {high:g}"
        for name, (low, high) in bands.items()
        if not low <= outcome.measured[name] <= high
    ]

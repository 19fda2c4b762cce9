"""What an experiment is: a published claim, how it is repeated, and when it is reproduced."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Band = tuple[float, float]
"""Lower and upper bound of a measured number, both inclusive."""


def percent(share: float, digits: int = 0) -> str:
    """A share from 0 to 1 as text: "67 %"."""
    return f"{100 * share:.{digits}f} %"


@dataclass(frozen=True)
class Settings:
    """How an experiment is run.

    seed: seed of all random numbers. short: run for seconds, on few examples, for the tests.
    """

    seed: int = 0
    short: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of an experiment.

    measured: measured numbers; the bands use the same names.
    said: the result in words, shown next to the published number.
    option: index of the option that came true, from 0.
    curves: name -> points of the figure; empty if there is none.
    """

    measured: Mapping[str, float]
    said: str
    option: int
    curves: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


Run = Callable[[Settings], Iterator[float | Outcome]]
"""Yields the share done, from 0 to 1, then the outcome."""


@dataclass(frozen=True)
class Experiment:
    """A published finding, repeated here.

    name: kebab-case, used in addresses and commands. title: the finding in a few words.
    claim: the finding in a sentence. source: the publication.
    published: its result, in words. what: what is run here.
    question, options: what the user predicts before it runs.
    bands: bounds of each measured number; a number outside them contradicts earlier runs here.
    short_bands: bounds for the short form, if it is too short for ``bands``; None: the same.
    holds: bounds within which the published claim is reproduced; None: the same as ``bands``.
    why: what explains the result, reproduced or not.
    minutes: approximate duration of the full form on one busy core.
    axes: titles of the figure's axes, with units; empty if there is no figure.
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
        """The measured numbers outside their bands, in words."""
        bands = self.short_bands if short and self.short_bands is not None else self.bands
        return _outside(bands, outcome)

    def reproduced(self, outcome: Outcome) -> bool:
        """Whether the published claim was reproduced."""
        return not _outside(self.bands if self.holds is None else self.holds, outcome)


def _outside(bands: Mapping[str, Band], outcome: Outcome) -> list[str]:
    return [
        f"{name} is {outcome.measured[name]:.4g}, not from {low:g} to {high:g}"
        for name, (low, high) in bands.items()
        if not low <= outcome.measured[name] <= high
    ]

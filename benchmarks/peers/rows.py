"""What is measured, as it stands in the JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.peers.measure import Sample, Spread, interleave, ratios
from benchmarks.peers.sizes import SIZES, Size

OURS = "ours"


@dataclass(frozen=True)
class Row:
    """One comparison: the same work done by several variants in turn.

    part, case, size: of the benchmark, as the tables are arranged.
    unit: of the work; samples are seconds for one.
    samples: variant -> seconds a unit, round by round.
    notes: variant -> what is not equal to the others.
    facts: further numbers to be shown, such as how many tokens agreed; or a variant that was
    left out, and why.
    ours: the variant that the others are compared with.
    """

    part: str
    case: str
    size: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    notes: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    ours: str = OURS

    def ratio(self, peer: str, variant: str = "") -> Spread:
        """How many times as fast as that peer our variant is."""
        return ratios(self.samples[variant or self.ours], self.samples[peer])

    def rate(self, variant: str) -> float:
        """Units a second, by the median."""
        return 1 / Spread.of(self.samples[variant]).median

    def to_dict(self) -> dict[str, Any]:
        """With every sample, and the ratios worked out for those who read the JSON alone."""
        others = [name for name in self.samples if name != self.ours]
        worked_out = {name: asdict(self.ratio(name)) for name in others}
        return asdict(self) | {"times as fast as": worked_out}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Row":
        return cls(**{name: plain[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    sizes: of the models. rounds: at most; seconds: for the rounds of a comparison, two apart;
    patience: that, where it is not to be quick.
    """

    sizes: Sequence[Size] = SIZES
    quick: bool = False
    device: str = "cpu"
    patience: float = 60.0

    @property
    def rounds(self) -> int:
        return 5 if self.quick else 25

    @property
    def seconds(self) -> float:
        return 2.0 if self.quick else self.patience

    def measure(self, samples: Mapping[str, Sample], warm: bool = False) -> dict[str, list[float]]:
        return interleave(samples, self.rounds, self.seconds, self.device, warm)

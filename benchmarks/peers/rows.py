"""The measurements, as stored in the JSON file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.peers.measure import Sample, Spread, interleave, ratios
from benchmarks.peers.sizes import SIZES, Size

OURS = "ours"


@dataclass(frozen=True)
class Row:
    """One comparison: the same work done by several variants in turn.

    part, case, size: which part, case and model size of the benchmark it is.
    unit: the unit of work, such as "token".
    samples: variant -> seconds per unit, one number per round.
    notes: variant -> how it differs from the others.
    facts: name -> further numbers to show, such as how many tokens agreed; or a variant that was
        left out -> the reason.
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
        """How many times as fast as ``peer`` our variant is."""
        return ratios(self.samples[variant or self.ours], self.samples[peer])

    def rate(self, variant: str) -> float:
        """Units per second, from the median."""
        return 1 / Spread.of(self.samples[variant]).median

    def to_dict(self) -> dict[str, Any]:
        """Plain data with every sample, plus the ratios for readers of the JSON file."""
        others = [name for name in self.samples if name != self.ours]
        worked_out = {name: asdict(self.ratio(name)) for name in others}
        return asdict(self) | {"times as fast as": worked_out}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Row":
        return cls(**{name: plain[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Plan:
    """How much to measure.

    sizes: model sizes. rounds: most rounds of a comparison. seconds: after this time no further
    round starts, except the first two. patience: value of ``seconds`` unless ``quick``.
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

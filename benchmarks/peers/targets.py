"""The targets, and the table that shows which of them are met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.peers import bound, capture, cold, decoding, training, training_peers
from benchmarks.peers.measure import Spread
from benchmarks.peers.rows import OURS, Row
from benchmarks.peers.sizes import SIZES

BF16 = "ours, bf16"
MET, MISSED = "✓", "✗"


@dataclass(frozen=True)
class Target:
    """The ratio to reach in one comparison, for each size.

    what: its name in the table. variant: the variant of ours that is compared.
    aims: the target ratio for each of SIZES; None for no target.
    at_most: whether the ratio must be at most the aim, not at least.
    """

    what: str
    part: str
    case: str
    peer: str
    aims: Sequence[float | None]
    variant: str = OURS
    at_most: bool = False

    def verdict(self, found: Spread, aim: float) -> str:
        reached = found.median <= aim if self.at_most else found.median >= aim
        return MET if reached else MISSED


def _decoding(batch: int, beam: int, peer: str, *aims: float | None, variant: str = OURS) -> Target:
    case = decoding.case_name(batch, beam)
    how = variant.removeprefix(OURS)
    return Target(f"{case}{how}, against {peer}", "decoding", case, peer, aims, variant)


_EQUAL, _VARIABLE = "equal lengths", "lengths 4 to 32"
TARGETS = (
    Target(
        "training, fp32, against nn.Transformer eager",
        training.PART,
        _EQUAL,
        training_peers.NN,
        (1.5, 1.35, 1.25),
    ),
    Target(
        "training as the presets tiny and small do (d64), fp32, against nn.Transformer",
        training.PART,
        training.PRESET,
        training_peers.NN,
        (1.4, 1.4, None),
    ),
    Target(
        "training, bf16, against nn.Transformer in fp32",
        training.PART,
        _EQUAL,
        training_peers.NN,
        (2.1, 2.1, 2.0),
        BF16,
    ),
    Target("training, bf16, against ours in fp32", training.PART, _EQUAL, OURS, (), BF16),
    Target(
        "training, lengths 4 to 32, against the tutorial's batches",
        training.PART,
        _VARIABLE,
        training_peers.NN,
        (2.5, 2.0, 2.0),
    ),
    Target(
        "training, lengths 4 to 32, bf16, against the tutorial's batches",
        training.PART,
        _VARIABLE,
        training_peers.NN,
        (2.5, 2.5, 2.5),
        BF16,
    ),
    Target(
        "training, fp32, against MarianMT",
        training.PART,
        _EQUAL,
        training_peers.MARIAN,
        (1.2, 1.1, 1.1),
    ),
    Target("training, fp32, against x-transformers", training.PART, _EQUAL, training_peers.X, ()),
    Target("training, fp32, against JoeyNMT", training.PART, _EQUAL, training_peers.JOEY, ()),
    _decoding(1, 1, decoding.HF, 6, 3, 1.6),
    _decoding(1, 1, decoding.HF, None, None, 3.5, variant=decoding.INT8),
    _decoding(32, 1, decoding.HF, 2.1, 1.5, 1.15),
    _decoding(32, 1, decoding.HF, variant=decoding.INT8),
    _decoding(1, 4, decoding.HF, 4.5, 2, 1.4),
    _decoding(32, 4, decoding.HF),
    _decoding(1, 1, decoding.CT2),
    _decoding(32, 1, decoding.CT2),
    _decoding(1, 4, decoding.CT2),
    _decoding(32, 4, decoding.CT2, 0.8, 0.95, 0.95),
    Target(
        "capture of every attention map, time over that without (at most)",
        capture.PART,
        "evaluation forward",
        capture.MAPS,
        (1.05, 1.05, 1.05),
        capture.OFF,
        True,
    ),
)
"""The lines of the table; lines without aims are shown too."""


def cell(target: Target, row: Row | None, aim: float | None, rates: bool = False) -> str:
    """The measured ratio with its quartiles, the aim, and whether it was reached.

    rates: also show how much our variant does per second.
    """
    if row is not None and target.variant in row.facts:
        return row.facts[target.variant]  # the reason why it was left out
    if row is None or not {target.variant, target.peer} <= set(row.samples):
        return "not measured" if aim is not None else "–"
    found = row.ratio(target.peer, target.variant)
    text = f"{found.median:.2f} ({found.lower:.2f}–{found.upper:.2f})"
    if rates:
        text += f"; {row.rate(target.variant):,.0f}"
    return text if aim is None else f"{text} of {aim:g} {target.verdict(found, aim)}"


def table(rows: Sequence[Row], device: str = "cpu") -> str:
    """The table of docs/speed.md, in Markdown: the aims, met and missed.

    The aims are for a CPU; for a GPU, the table shows our rate per second instead.
    """
    on_card = device != "cpu"
    what = "how many times as fast; ours a second" if on_card else "how many times as fast"
    known: Mapping[tuple[str, str, str], Row] = {(r.part, r.case, r.size): r for r in rows}
    lines = [
        f"| {what} | " + " | ".join(size.title for size in SIZES) + " |",
        "|---|" + "---|" * len(SIZES),
    ]
    for target in TARGETS:
        aims = [*target.aims, *[None] * (len(SIZES) - len(target.aims))]
        found = [known.get((target.part, target.case, size.name)) for size in SIZES]
        cells = [
            cell(target, row, None if on_card else aim, rates=on_card)
            for row, aim in zip(found, aims, strict=True)
        ]
        if on_card and set(cells) == {"–"}:
            continue
        lines.append(f"| {target.what} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_further(rows)])


def _further(rows: Sequence[Row]) -> list[str]:
    """Results that are not ratios: cold starts, bounds of decoding, and how cost grows."""
    found = []
    for row in rows:
        if row.part == cold.PART:
            seconds = ", ".join(
                f"{name} {Spread.of(samples).median:.2f} s" for name, samples in row.samples.items()
            )
            found.append(f"- {row.part}, {row.case}: {seconds}")
        if said := bound.summary(row.facts):
            title = next(size.title for size in SIZES if size.name == row.size)
            found.append(f"- {row.case}, {title}: of our time {said}")
        if row.part == "growth":
            found.append(
                f"- a step's time grows with {row.case} to the power "
                f"{row.facts['measured exponent']}; by arithmetic "
                f"{row.facts['exponent of the arithmetic']}"
            )
    return found

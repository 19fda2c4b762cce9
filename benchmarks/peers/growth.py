"""How a training step's time grows, compared with the arithmetic it needs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.peers.measure import Sample, Spread, exponent
from benchmarks.peers.rows import Plan, Row
from benchmarks.peers.sizes import SIZES, Size, made_up_pairs
from benchmarks.peers.training import own_steps

PART = "growth"
LENGTHS, BATCHES, WIDTHS = (16, 32, 64, 128, 256), (8, 16, 32, 64, 128), (64, 128, 256, 512)
TINY = replace(SIZES[0], batch=16)


def flops(size: Size, source: int, target: int) -> float:
    """Additions and multiplications in the matrix products of one training step.

    The backward pass counts twice the forward pass; softmax, norms, dropout and Adam are left out.
    """
    d, d_ff = size.d_model, 4 * size.d_model

    def attention(queries: int, keys: int) -> int:
        projections = 2 * d * d * (2 * queries + 2 * keys)  # W^Q and W^O, W^K and W^V
        return projections + 2 * 2 * queries * keys * d  # QKᵀ and the weighted values

    def feed_forward(positions: int) -> int:
        return 2 * 2 * positions * d * d_ff

    encoder = attention(source, source) + feed_forward(source)
    decoder = attention(target, target) + attention(target, source) + feed_forward(target)
    output = 2 * target * d * (size.words + 4)
    return 3.0 * size.batch * (size.layers * (encoder + decoder) + output)


def points(case: str) -> list[tuple[int, Size, int]]:
    """The points to measure: (the number that grows, size with its batch, length)."""
    if case == "length":
        return [(length, TINY, length) for length in LENGTHS]
    if case == "batch":
        return [(batch, replace(TINY, batch=batch), 16) for batch in BATCHES]
    return [(width, replace(TINY, d_model=width), 16) for width in WIDTHS]


def compare(case: str, plan: Plan) -> Row:
    places = points(case)

    def sample(size: Size, length: int) -> Sample:
        task = made_up_pairs(size, length, length, batches=2)
        updates = own_steps(size, task, {}, plan.device, max_length=512)
        return lambda: float(next(updates).step > 0)

    found = plan.measure({str(x): sample(size, length) for x, size, length in places})
    sizes = [float(x) for x, _, _ in places]
    counted = [flops(size, length, length) for _, size, length in places]
    facts = {
        "measured exponent": _spread(sizes, list(found.values())),
        "exponent of the arithmetic": f"{exponent(sizes, counted):.2f}",
        "GFLOP of the matrix products": ", ".join(f"{one / 1e9:.2f}" for one in counted),
    }
    notes = {
        str(x): f"{size.batch} pairs, {length} + {length} tokens" for x, size, length in places
    }
    return Row(PART, case, "d128 2+2", "step", found, notes, facts, str(places[0][0]))


def _spread(sizes: Sequence[float], samples: Sequence[Sequence[float]]) -> str:
    fitted = Spread.of([exponent(sizes, costs) for costs in zip(*samples, strict=True)])
    return f"{fitted.median:.2f} ({fitted.lower:.2f} to {fitted.upper:.2f})"


def measure(plan: Plan) -> Iterator[Row]:
    for case in ("length", "batch", "width"):
        yield compare(case, plan)

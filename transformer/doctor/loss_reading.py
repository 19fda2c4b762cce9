"""Findings from a loss curve alone: known plateaus, suspicious values, and faults to suspect."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from transformer.doctor.loss_file import LossCurve
from transformer.health import Finding
from transformer.health.learning import twice_softmaxed

NEAR = 0.03
"""Largest distance in nats between a plateau and the known loss it is taken for, such as ln |V|."""
LOW = 0.05
"""Losses below this, in nats per token, count as nearly zero."""
EARLY = 0.1
"""Share of the curve within which hardly any task reaches LOW: earlier is suspicious."""
SUSPECTS: Mapping[str, tuple[str, ...]] = {
    "broken": ("learning-rate-too-high", "no-warmup", "no-layer-norm"),
    "uniform": ("cross-attention-reads-decoder", "parameters-not-optimized", "scores-multiplied"),
    "softmax twice": ("softmax-before-cross-entropy", "output-softmaxed"),
    "too early": ("targets-not-shifted", "no-causal-mask", "heads-merged-by-view"),
    "rises": ("learning-rate-too-high", "no-warmup", "gradients-not-zeroed"),
    "stands": ("no-residual", "padding-mask-inverted", "learning-rate-too-high", "no-positions"),
    "large start": ("no-layer-norm", "unscaled-scores"),
    "low start": ("targets-not-shifted", "padding-in-loss"),
}
"""Kind of finding -> the faults that may cause it, the likeliest first."""


@dataclass(frozen=True)
class LossReading:
    """findings: on finite numbers, start, end. suspects: names of faults, the likeliest first."""

    findings: tuple[Finding, ...]
    suspects: tuple[str, ...]


def read_curve(curve: LossCurve, size: int | None = None) -> LossReading:
    """Findings from a curve, and the faults to suspect.

    Args:
        size: of the target vocabulary, if known: it tells what a plateau or first loss means.
    """
    losses = [loss for _, loss in curve.points]
    found: list[tuple[str, Finding]] = []
    if curve.broken is not None:
        found.append(
            (
                "broken",
                Finding(
                    "Finite numbers",
                    "problem",
                    f"At step {curve.broken:,.0f} the loss is not a finite number.",
                    "Lower the learning rate, lengthen the warm-up, and fill masks with the lowest "
                    "finite number.",
                ),
            )
        )
    found += [one for one in (_start(losses, size), _end(curve, losses, size)) if one]
    suspects = dict.fromkeys(name for kind, _ in found for name in SUSPECTS.get(kind, ()))
    return LossReading(tuple(finding for _, finding in found), tuple(suspects))


def _start(losses: list[float], size: int | None) -> tuple[str, Finding] | None:
    if size is None:
        return None
    first, uniform = losses[0], math.log(size)
    said = f"It begins at {first:.2f}; a uniform guess among {size:,} tokens costs {uniform:.2f}"
    if first > uniform + 2:
        return "large start", Finding(
            "The first loss",
            "warning",
            f"{said}: the initial weights are too large.",
            "Draw embeddings with variance 1 / d_model and matrices Xavier-uniform.",
        )
    if first < uniform / 2:
        return "low start", Finding(
            "The first loss",
            "problem",
            f"{said}. An untrained model cannot do so much better.",
            "Check the shift of the targets, and whether the loss counts <pad>. (Or the record "
            "starts after training did.)",
        )
    return "start", Finding("The first loss", "ok", f"{said}.")


def _end(curve: LossCurve, losses: list[float], size: int | None) -> tuple[str, Finding]:
    count = max(2, len(losses) // 5)
    now, before = median(losses[-count:]), median(losses[-2 * count : -count] or losses[:1])
    lowest = min(losses)
    first_low = next((i for i, loss in enumerate(losses) if loss < LOW), None)
    if first_low is not None and first_low < EARLY * len(losses) and len(losses) >= 20:
        return "too early", Finding(
            "Too good, too early",
            "problem",
            f"At step {curve.points[first_low][0]:,.0f} it is below {LOW} already: the decoder can "
            "probably see the tokens it has to predict.",
            "Let the model write by itself, and compare with its predictions given the true "
            "tokens.",
        )
    if now > 1.3 * lowest + 0.2 and now > before:
        return "rises", Finding(
            "It rises",
            "warning",
            f"Its lowest value was {lowest:.3g}; it is {now:.3g} at the end.",
            "Lower the learning rate. On held-out pairs it may be overfitting.",
        )
    if now < 2 * LOW:
        return "falls", Finding("The end", "ok", f"It is {now:.3g} at the end.")
    if before - now > max(0.02 * before, 0.005):
        return "falls", _falling(curve, before, now, count)
    if abs(now - before) > max(0.02 * before, 0.005):
        return "falls", Finding("The end", "ok", f"It is {now:.3g} at the end.")
    return _plateau(now, size)


def _falling(curve: LossCurve, before: float, now: float, count: int) -> Finding:
    """A curve that still falls: how fast, and after how many steps it would be nearly zero.

    Args:
        before, now: medians of the last two spans of ``count`` losses each.
    """
    span = curve.points[-1][0] - curve.points[max(0, len(curve.points) - 1 - count)][0]
    sentence = f"It still falls: {now:.3g} at the end"
    if span > 0:
        # Assumes exponential decay: each span removes the same share. 2 * LOW is nearly zero.
        spans = math.log(now / (2 * LOW)) / math.log(before / now)
        sentence += (
            f" (median of {span:,.0f} steps), {1 - now / before:.0%} less than before that. At "
            f"this pace it would reach {2 * LOW:g} after about {_round(spans * span):,} more"
        ).replace("%", " %")
    return Finding(
        "The end",
        "waiting",
        f"{sentence}. The training is not finished, so the curve points to no fault.",
        "Train on, and compare with a healthy curve after as many steps: if yours falls as fast, "
        "it only needs time.",
    )


def _round(steps: float) -> int:
    """Round to two significant digits."""
    digits = max(0, math.floor(math.log10(max(1.0, steps))) - 1)
    return round(steps / 10**digits) * 10**digits


def _plateau(level: float, size: int | None) -> tuple[str, Finding]:
    name = "It stands still"
    if size is not None:
        uniform, floor = math.log(size), twice_softmaxed(size)
        if abs(level - uniform) < NEAR:
            return "uniform", Finding(
                name,
                "problem",
                f"At {level:.3f}, which is ln {size:,} = {uniform:.3f}: it guesses uniformly.",
                "Neither source nor target affects the prediction: look at cross-attention and at "
                "the parameters that the optimizer was given.",
            )
        if abs(level - floor) < NEAR:
            return "softmax twice", Finding(
                name,
                "problem",
                f"At {level:.3f}, which is ln(1 + (V - 1)/e) = {floor:.3f} for {size:,} tokens: "
                "the softmax is taken twice.",
                "Give cross-entropy the logits.",
            )
        return "stands", Finding(
            name,
            "warning",
            f"At {level:.3g}. A uniform guess costs ln V = {uniform:.3f}, a softmax taken twice "
            f"{floor:.3f}.",
            "Compare it with the loss of guessing by frequency on your data.",
        )
    uniform, doubled = math.exp(level), 1 + (math.exp(level) - 1) * math.e
    return "stands", Finding(
        name,
        "warning",
        f"At {level:.3g}. With {uniform:,.1f} tokens this is a uniform guess (ln V), with "
        f"{doubled:,.1f} a softmax taken twice (ln(1 + (V - 1)/e)).",
        "Say how many tokens the target vocabulary has.",
    )

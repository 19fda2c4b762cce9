"""Checks of a training's record: its first loss, its curve, its baselines. Loads no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from transformer.config import RunConfig, TransformerConfig
from transformer.health.finding import Finding
from transformer.runs.goals import OverfitCheck
from transformer.runs.metrics import Record, by_step, series
from transformer.tasks.presets import PRESETS, defaults

FAR = 10.0
"""A learning rate counts as far off at this many times the usual one, if the curve is bad, too."""
CHANCE = 0.5
"""Nats by which the first loss of any small model may differ by chance."""


@dataclass(frozen=True)
class Curve:
    """The record of a training, by step.

    train: (step, mean loss of the updates since the point before, learning rate).
    evaluations: (step, loss); the first one, at step 0, is of the untrained model.
    unigram: the loss of guessing by frequency; with_ends: the same, knowing where answers end
        (:func:`unigram_loss`).
    """

    train: list[tuple[int, float, float]]
    evaluations: list[tuple[int, float]]
    unigram: float
    with_ends: float

    @classmethod
    def of(cls, records: Sequence[Record], unigram: float, with_ends: float) -> "Curve":
        """The curve of a run, from its metrics."""
        train, evaluations = by_step(records, "train"), by_step(records, "eval")
        return cls(
            [
                (int(step), loss, rate)
                for step, loss, rate in series(train, "loss", "learning_rate")
            ],
            [(int(step), loss) for step, loss in series(evaluations, "loss")],
            unigram,
            with_ends,
        )

    def warmup(self, wanted: int) -> int:
        """Updates of the warm-up: ``wanted``, or 0 if the record shows that there was none."""
        if not self.train:
            return wanted
        step, _, rate = self.train[0]
        highest = max(rate for _, _, rate in self.train)
        return 0 if step < wanted / 4 and rate > 0.9 * highest else wanted

    @property
    def untrained(self) -> float | None:
        first = self.evaluations[0] if self.evaluations else None
        return first[1] if first and first[0] == 0 else None


def untrained_loss_bound(config: TransformerConfig) -> tuple[float, str]:
    """Upper bound of an untrained model's loss, in nats per token, and the reason in words.

    The logits of an untrained model are about normal with variance s², so that the expected
    softmax denominator over V tokens is V·exp(s²/2), and the loss is ln V + s²/2. If the output
    projection is the target embedding, the logit of one token is not random: that of the token
    just read. Its embedding e is in the residual stream as √d·e (|e| = 1), added to positions of
    variance ½. After a norm, which gives the stream the length √d, its logit is at most √d/√1.5;
    without one it is √d. So the loss is at most ln(V·exp(s²/2) + exp(that logit)), and by chance,
    since the target tokens are few, about s more.
    """
    size, d = config.target_vocab_size, config.d_model
    embedding = 1.0 if config.scale_embeddings else 1 / d  # variance of an entry in the stream
    positions = {"learned": 1 / d, "none": 0.0}.get(config.position_layout, 0.5)
    normed = config.norm_after("decoder") or not config.norms_first("decoder")
    # Without a norm every sub-layer adds to the stream, each at most about 1.
    sublayers = 2 * config.num_encoder_layers + 3 * config.num_decoder_layers
    stream = 1.0 if normed else embedding + positions + sublayers
    weight = 1 / d if config.tie_embeddings else 2 / (d + size)  # variance of an output weight
    spread = stream * weight * d
    denominator = math.log(size) + spread / 2
    chance = max(CHANCE, math.sqrt(spread))
    if not config.tie_embeddings:
        return denominator + chance, "a little more for logits drawn by chance"
    own = math.sqrt(d * embedding) / (math.sqrt(embedding + positions) if normed else 1.0)
    bound = max(denominator, own) + math.log1p(math.exp(-abs(denominator - own)))
    return bound + chance, "more because tied embeddings favour the token just read"


def check_first_loss(loss: float | None, config: TransformerConfig) -> Finding:
    """Is the loss of the untrained model about ln|V|?"""
    name = "First loss near ln|V|"
    if loss is None:
        return Finding(name, "waiting", "The untrained model is not evaluated yet.")
    size = config.target_vocab_size
    uniform = math.log(size)
    highest, reason = untrained_loss_bound(config)
    said = (
        f"The untrained model's loss is {loss:.2f}; a uniform guess costs ln {size:,} = "
        f"{uniform:.2f}"
    )
    if loss < uniform / 2:
        return Finding(
            name,
            "problem",
            f"The decoder can see the token it has to predict. {said}, and an untrained model "
            "cannot do so much better.",
            "Look for targets that are not shifted right, or a loss that counts <pad> tokens.",
        )
    if loss > highest:
        return Finding(
            name,
            "problem",
            f"The initial weights are too large. {said}, and it should be at most {highest:.2f} "
            f"({reason}).",
            "Draw embeddings with variance 1 / d_model and matrices Xavier-uniform.",
        )
    return Finding(name, "ok", f"{said}, and up to {highest:.2f} is normal here ({reason}).")


def check_overfit(found: OverfitCheck | None) -> Finding:
    """Did a small copy of the model memorise its pairs, and write them by itself?"""
    name = "The overfit check: a small copy memorises eight pairs"
    if found is None:
        return Finding(name, "waiting", "The small copy has not been trained yet.")
    shown = "not a finite number" if found.loss is None else f"{found.loss:.3g}"
    story = (
        f"After {found.steps} updates on {found.pairs} pairs its loss is {shown}, and it writes "
        f"{found.right} of them right"
    )
    if found.proven:
        return Finding(name, "ok", f"{story}.")
    if found.near_zero:
        return Finding(
            name,
            "problem",
            f"The loss goes to zero without learning: the decoder can see the token it has to "
            f"predict. {story}.",
            "The targets are not shifted right, or the causal mask is missing.",
        )
    if found.cut_short:
        return Finding(
            name,
            "waiting",
            f"{story}; it was cut short after {found.seconds:.0f} s.",
            "Check again when the machine is less busy.",
        )
    if found.still_falling:
        return Finding(
            name,
            "waiting",
            f"{story}; it was still falling: at this learning rate it needs more updates.",
        )
    return Finding(
        name,
        "problem",
        f"Something prevents learning: a small copy cannot memorise {found.pairs} pairs. {story}.",
        "Look at the other findings: the learning rate, the softmax, the masks, the gradients.",
    )


def check_curve(curve: Curve, run: RunConfig, state: str) -> list[Finding]:
    """Is the loss finite, below its baselines after the warm-up, and neither rising nor spiky?

    Args:
        state: of the run; "diverged" means that a number was no longer finite.
    """
    usual = (run.model.d_model * 4000) ** -0.5  # the paper's highest rate, section 5.3
    rate = max([rate for _, _, rate in curve.train], default=run.training.learning_rate)
    aim, whose = _rate_to_aim_at(run, usual)
    times = rate / aim
    compared = f"The rate went up to {rate:.2g}; {aim:.1g} is {whose}"
    compared += f", {times:.0f} times less" if times >= 2 else ""
    warmup = curve.warmup(run.training.warmup_steps)
    longer = f"lengthen the warm-up of {warmup} updates" if warmup else "give it a warm-up of 100"
    lower = f"Lower it to about {min(aim, rate / 2):.1g} and train again. {compared}; or {longer}."
    last = curve.train[-1][0] if curve.train else 0
    if state == "diverged":
        finite = Finding(
            "Loss and gradient finite",
            "problem",
            f"The learning rate is too high: after update {last:,} the loss or its gradient was "
            "no longer a finite number.",
            lower,
        )
        return [finite]
    finite = Finding(
        "Loss and gradient finite",
        "ok" if curve.train else "waiting",
        f"Every loss up to update {last:,} is a finite number."
        if curve.train
        else "No update has been recorded yet.",
    )
    return [finite, _learning(curve, run, usual, aim, lower, compared), _overfitting(curve, run)]


def _rate_to_aim_at(run: RunConfig, usual: float) -> tuple[float, str]:
    """The learning rate to advise, and its origin in words: the preset's, whose optimizer may need
    other rates than the paper's; or the paper's, if the user has changed width or optimizer.
    """
    if run.preset in PRESETS:
        theirs = defaults(run.data.task, run.preset)
        same = theirs["d_model"] == run.model.d_model
        if same and theirs["optimizer"] == run.training.optimizer:
            return float(theirs["learning_rate"]), "the preset's"
    return usual, f"usual for d_model = {run.model.d_model}"


def _learning(
    curve: Curve, run: RunConfig, usual: float, aim: float, lower: str, compared: str
) -> Finding:
    """Compare the curve with its baselines, after the warm-up.

    Args:
        usual: the paper's highest learning rate, with which this one is compared.
        aim: the rate to advise.
        lower, compared: advice and numbers, in words, for a rate that is too high.
    """
    far = max([rate for _, _, rate in curve.train], default=run.training.learning_rate) / usual
    name = "The loss falls"
    untrained, warmup = curve.untrained, curve.warmup(run.training.warmup_steps)
    enough = max(100, 2 * warmup)
    last = curve.train[-1][0] if curve.train else 0
    if untrained is None or last < enough or len(curve.train) < 4:
        return Finding(
            name,
            "waiting",
            f"{last:,} updates are too few to judge the curve; it takes at least {enough:,}, "
            "to pass the warm-up.",
        )
    losses = [loss for _, loss, _ in curve.train]
    # Pairs of a batch have similar lengths, short or long, so that losses vary between batches.
    now = median(losses[-max(5, len(losses) // 8) :])
    # Label smoothing raises the training loss, even of a perfect model.
    smoothing = run.training.label_smoothing * math.log(run.model.target_vocab_size)
    unigram, floor = curve.unigram + smoothing, curve.with_ends + smoothing
    highest = max(losses)
    said = f"After {last:,} updates the training loss is {now:.3g}"
    peak = f", and it went up to {highest:.3g}" if highest > 1.5 * untrained + smoothing else ""
    if now > untrained + smoothing:
        return Finding(
            name,
            "problem",
            f"The learning rate is too high: the model is worse than untrained. {said}"
            f"{peak}; untrained it was {untrained:.3g}.",
            lower,
        )
    guessing = f"guessing by frequency costs {unigram:.3g}, or {floor:.3g} with the ends known"
    if (now > 0.95 * floor and peak) or (now > 0.6 * floor and far >= FAR):
        more = "hardly" if now > 0.8 * floor else "little"
        return Finding(
            name,
            "problem",
            "The learning rate is too high: the model has learned how frequent tokens are and "
            f"where answers end, and {more} more. {said}{peak}; {guessing}.",
            lower,
        )
    if now > 0.95 * floor and not warmup and far >= 2:
        return Finding(
            name,
            "problem",
            f"There is no warm-up: the model has hardly learned more than how frequent tokens are. "
            f"{said}; {guessing}.",
            f"Give it a warm-up of 100 updates and train again. {compared}.",
        )
    if now > 0.95 * floor and (last >= max(1000, 5 * warmup) or far < 1 / FAR):
        return Finding(
            name,
            "warning",
            f"{'The learning rate is too low: h' if far < 1 / FAR else 'H'}ardly better than "
            f"guessing by frequency. {said}; {guessing}.",
            f"Raise it to about {aim:.1g} and train again. The present rate is "
            f"{aim / (far * usual):.0f} times smaller."
            if far < 1 / FAR
            else "Train longer. If it stays there, see whether the source is read, and try a "
            "larger model or another learning rate.",
        )
    if peak:
        return Finding(
            name,
            "warning",
            f"{'The first updates are too large' if warmup else 'There is no warm-up'}: the "
            f"training loss went up to {highest:.3g}, untrained it was {untrained:.3g}. It has "
            f"come down to {now:.3g} since.",
            lower if warmup else f"Give it a warm-up of 100 updates and train again. {compared}.",
        )
    if not warmup and far >= 2 and not run.model.norm_first and now > 0.05 * floor:
        return Finding(
            name,
            "warning",
            "There is no warm-up: a post-norm model, as in the paper, learns less without one. "
            f"{said}.",
            f"Give it a warm-up of 100 updates and train again. {compared}.",
        )
    evaluated = [loss for _, loss in curve.evaluations]
    best, newest = min(evaluated), evaluated[-1]
    if newest > best + max(0.5, best / 2) and now > newest / 2:
        return Finding(
            name,
            "warning",
            f"The loss is rising: the evaluation loss is {newest:.3g} and was {best:.3g} before; "
            f"on training pairs it is {now:.3g}. The learning rate is too high.",
            lower,
        )
    # Long pairs may stay hard for a while, but should not cost more than guessing by frequency.
    spikes = sum(
        loss > 1.1 * unigram and median(losses[max(0, i - 9) : i]) < unigram / 2
        for i, loss in enumerate(losses)
        if i
    )
    if spikes >= 3:
        return Finding(
            name,
            "warning",
            f"The loss is spiky: {spikes} times it jumped from less than half the loss of guessing "
            f"by frequency, {unigram:.3g}, to more than that loss. The learning rate is too high.",
            lower,
        )
    return Finding(
        name,
        "ok",
        f"{said}; untrained it was {untrained:.3g}, and guessing by frequency costs {unigram:.3g}.",
    )


def _overfitting(curve: Curve, run: RunConfig) -> Finding:
    """Compare the training loss with the evaluation loss."""
    name = "Held-out loss beside training loss"
    if run.data.evaluates_on_training_pairs:
        return Finding(name, "ok", "Nothing is held out: this run has to memorise its pairs.")
    if len(curve.evaluations) < 3 or not curve.train:
        return Finding(name, "waiting", "There are too few evaluations to compare yet.")
    losses = [loss for _, loss in curve.evaluations]
    now, best = losses[-1], min(losses)
    train = median([loss for _, loss, _ in curve.train][-5:])
    if train > 0.8 * curve.with_ends:
        return Finding(
            name,
            "waiting",
            "It has hardly learned its training pairs; there is nothing to compare.",
        )
    if now > best + max(0.3, 0.3 * best) and train < now / 2:
        step = curve.evaluations[losses.index(best)][0]
        return Finding(
            name,
            "warning",
            f"The model memorises its pairs (overfitting): the loss on held-out pairs rose "
            f"from {best:.3g} at step {step:,} to {now:.3g}, while on training pairs it is "
            f"{train:.3g}.",
            "Use more pairs, more dropout or a smaller model. Or stop at the best step.",
        )
    return Finding(
        name,
        "ok",
        f"The loss on held-out pairs is {now:.3g}, its lowest {best:.3g}; on training pairs "
        f"{train:.3g}.",
    )
